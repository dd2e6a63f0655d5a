"""Weights cast together: GPUs do this, and here the CPU does as if it were one."""

import pytest
import torch
from gpu_paths import take_gpu_paths
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vrtspike.models.fusion import TemporalCrossAttention
from vrtspike.models.layers import cast_weights
from vrtspike.models.layers.blocks import AttentionBlock
from vrtspike.models.layers.cast_weights import cast_together, cast_where_allowed
from vrtspike.models.spike_encoders import SpikeEncoder3D
from vrtspike.models.tsa import TemporalSelfAttention

BLOCK = dict(channels=8, heads=2, window=(2, 2, 2), shift=(0, 1, 1), mutual=True)


class Casts(TorchDispatchMode):
    """Counts the casts of tensors to another type, and of lists of tensors."""

    def __init__(self):
        super().__init__()
        self.single = self.lists = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.single += func is torch.ops.aten._to_copy.default
        self.lists += func is torch.ops.aten._foreach_copy_.default
        return func(*args, **(kwargs or {}))


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    take_gpu_paths(monkeypatch)


def train(block, x):
    """Return the output and the gradients under autocast, and the casts."""
    block.zero_grad()
    x = x.detach().requires_grad_()
    with Casts() as casts:
        with torch.autocast('cpu', dtype=torch.bfloat16):
            out = block(x)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach(), x.grad, *(each.grad for each in block.parameters())], casts


MAP = (1, 8, 3, 6, 6)
PARTS = {  # of the spike side, with the sizes of their maps
    'spike encoder': (lambda: SpikeEncoder3D(bins=4, channels=8, scales=2), [(1, 3, 4, 6, 6)]),
    'temporal self-attention': (lambda: TemporalSelfAttention(8, heads=2), [MAP]),
    'fusion head': (lambda: TemporalCrossAttention(8, heads=2), [MAP, MAP]),
}


@pytest.mark.parametrize('part', PARTS)
def test_parts_of_the_spike_side_compute_the_same(as_on_a_gpu, part):
    make, sizes = PARTS[part]
    torch.manual_seed(0)
    module = make().train()
    for parameter in module.parameters():  # values of bfloat16, so that the plain convolution has the same ones
        parameter.data = (torch.randn(parameter.shape) * 0.3).bfloat16().float()
    leaves = [torch.randn(size).requires_grad_() for size in sizes]

    def run(call):
        with Casts() as casts:
            with torch.autocast('cpu', dtype=torch.bfloat16):
                out = call(*leaves)
            maps = out if isinstance(out, list) else [out]
            total = sum((each * torch.linspace(-1, 1, each.numel()).view_as(each)).sum() for each in maps)
            grads = torch.autograd.grad(total, [*leaves, *module.parameters()])
        return [*maps, *grads], casts.lists

    def cast_and_call(*maps):
        (call,) = cast_where_allowed(maps[0], module)
        return call(*maps)

    (found, lists), (expected, none) = run(cast_and_call), run(module)
    assert (lists, none) == (2, 0)
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == right.dtype
        assert (left - right).norm() <= 5e-3 * right.norm()


def make_block(**settings):
    torch.manual_seed(0)
    return AttentionBlock(**BLOCK, **settings).train()


@pytest.mark.parametrize('recomputed', [False, True])
def test_a_block_computes_the_same_with_a_list_of_casts_each_way(as_on_a_gpu, monkeypatch, recomputed):
    block = make_block(checkpoint_attn=recomputed, checkpoint_ffn=recomputed)
    x = torch.randn(1, 2, 4, 4, 8)
    train(block, x)  # casts indices, which are cached
    found, casts = train(block, x)
    take_gpu_paths(monkeypatch, False)
    expected, before = train(block, x)
    for left, right in zip(found, expected, strict=True):
        assert left.dtype == right.dtype == torch.float32
        assert (left - right).norm() <= 1.5e-2 * right.norm()  # the gate's input is rounded before its bias
    assert (casts.lists, before.lists) == (2, 0)
    weights = 8  # of qkv_self and qkv_mut, with biases, proj, fc11, fc12 and fc2; later kernels add the biases of these
    assert before.single - casts.single >= weights * (3 if recomputed else 2)


def test_frozen_weights_get_no_gradient(as_on_a_gpu):
    block = make_block()
    block.attn.qkv_self.requires_grad_(False)
    block.zero_grad()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        block(torch.randn(1, 2, 4, 4, 8)).sum().backward()
    assert block.attn.qkv_self.weight.grad is None
    assert block.attn.qkv_mut.weight.grad.abs().sum() > 0


def test_a_dropped_branch_gets_gradients_of_zero(as_on_a_gpu):
    block = make_block(drop_path=0.999999)
    (_, grad, *weights), _ = train(block, torch.randn(1, 2, 4, 4, 8))
    assert grad.any()
    assert not any(each.any() for each in weights)


def test_weights_keep_their_type_and_their_names(as_on_a_gpu):
    block = make_block()
    before = {name: each.dtype for name, each in block.state_dict().items()}
    train(block, torch.randn(1, 2, 4, 4, 8))
    assert {name: each.dtype for name, each in block.state_dict().items()} == before


def test_sharded_weights_are_cast_by_themselves(as_on_a_gpu, monkeypatch):
    block = make_block()
    monkeypatch.setattr(cast_weights, 'DTensor', nn.Parameter)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert cast_together(torch.ones(1), block.attn, block.mlp) == (block.attn, block.mlp)


def test_gradients_of_cast_weights_cannot_be_differentiated(as_on_a_gpu):
    layer, x = nn.Linear(2, 2), torch.ones(1, 2)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        (call,) = cast_together(x, layer)
        total = call(x).square().sum()
    (grad,) = torch.autograd.grad(total, layer.weight, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_modules_are_called_as_they_are_without_autocast_when_compiled_and_on_cpus(as_on_a_gpu, monkeypatch):
    layer, x = nn.Linear(2, 2), torch.zeros(1, 2)
    assert cast_together(x, layer) == (layer,)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert cast_together(x, layer) != (layer,)
        take_gpu_paths(monkeypatch, False)
        assert cast_together(x, layer) == (layer,)
        take_gpu_paths(monkeypatch)
        layer.compile(backend='eager')
        assert cast_together(x, layer) == (layer,)
