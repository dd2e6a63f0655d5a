"""Weights cast together: GPUs do this, and here the CPU does as if it were one."""

import pytest
import torch
from gpu_paths import take_gpu_paths
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vrtspike.models.layers import cast_weights
from vrtspike.models.layers.blocks import AttentionBlock
from vrtspike.models.layers.cast_weights import cast_together

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
        assert (left - right).abs().max() <= 2e-2 * right.abs().max()  # the gate's input is rounded before its bias
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
