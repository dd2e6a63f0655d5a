"""The path of GPUs, on CPUs: padding, refused kernels and masks that alone need a gradient change no value."""

import math

import pytest
import torch
from torch.nn import functional as F

from vrtspike.ops import fused_attention as fused
from vrtspike.ops.fused_attention import attend_on_gpu, computes_in, fused_attention, gpu_of, pad_channels
from vrtspike.ops.sdpa_rules import Gpu
from vrtspike.ops.window_attention.layout import WindowLayout
from vrtspike.ops.window_attention.sdpa import attend_with_padded_heads, sdpa
from vrtspike.ops.window_attention.windows import Settings

A100, H100 = Gpu((8, 0), (2, 13), 92000), Gpu((9, 0), (2, 13), 92000)


@pytest.fixture
def calls(monkeypatch):
    """Listens to the calls of PyTorch's operator: the width of the heads, and whether cuDNN may be used."""
    seen, operator = [], F.scaled_dot_product_attention

    def listen(q, k, v, **arguments):
        seen.append((q.shape[-1], torch.backends.cuda.cudnn_sdp_enabled()))
        return operator(q, k, v, **arguments)

    monkeypatch.setattr(F, 'scaled_dot_product_attention', listen)
    return seen


def inputs(head_dim, tokens=6, dtype=torch.float32, trained=(True, True)):
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, tokens, head_dim, generator=generator).to(dtype).unbind()
    added = torch.randn(1, 3, tokens, tokens, generator=generator).to(dtype)
    for x in (q, k, v):
        x.requires_grad_(trained[0])
    return q, k, v, added.requires_grad_(trained[1])


def values_and_gradients(function, leaves):
    out = function(*leaves)
    wanted = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
    return [out, *torch.autograd.grad(out, wanted, torch.linspace(-1, 1, out.numel()).view_as(out).to(out.dtype))]


@pytest.mark.parametrize(('head_dim', 'width'), [(4, 4), (5, 8), (18, 20), (30, 32)])
def test_padded_heads_give_the_values_and_gradients_of_plain_ones(head_dim, width, calls):
    leaves = inputs(head_dim)
    found = values_and_gradients(lambda *x: attend_on_gpu(*x, A100, scale=None, dropout=0.0), leaves)
    expected = values_and_gradients(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m), leaves)
    assert [seen[0] for seen in calls] == [width, head_dim]
    assert found[0].shape == leaves[0].shape
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-6)


def test_sixteen_bit_heads_are_padded_to_multiples_of_eight(calls):
    q, k, v, added = inputs(20, dtype=torch.bfloat16, trained=(False, False))
    found = attend_on_gpu(q, k, v, added, A100, scale=0.3, dropout=0.0)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=0.3))
    assert [seen[0] for seen in calls] == [24, 20]


def test_padding_follows_the_type_of_autocast():
    x = torch.zeros(1, 1, 2, 20)
    assert computes_in(x) is torch.float32
    assert pad_channels(x) is x
    with torch.autocast('cpu', torch.bfloat16):
        assert computes_in(x) is torch.bfloat16
        assert pad_channels(x).shape == (1, 1, 2, 24)
        assert computes_in(x.double()) is torch.float64


@pytest.mark.parametrize(
    ('gpu', 'tokens', 'masked', 'trained', 'cudnn'),
    [
        (H100, 64, True, (True, False), False),
        (H100, 72, True, (True, False), True),
        (H100, 64, False, (True, False), True),
        (H100, 64, True, (False, False), True),
        (A100, 64, True, (True, False), True),
    ],
)
def test_cudnn_is_switched_off_only_where_its_gradients_are_wrong(gpu, tokens, masked, trained, cudnn, calls):
    q, k, v, added = inputs(16, tokens, torch.bfloat16, trained)
    attend_on_gpu(q, k, v, added if masked else None, gpu, scale=None, dropout=0.0)
    assert calls == [(16, cudnn)]
    assert torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_where_only_the_mask_needs_a_gradient_queries_do_too_and_it_is_right(monkeypatch):
    leaves, operator, asked = inputs(16, trained=(False, True)), F.scaled_dot_product_attention, []
    expected = values_and_gradients(lambda q, k, v, m: operator(q, k, v, attn_mask=m), leaves)

    def listen(q, k, v, **arguments):
        asked.append(q.requires_grad)
        return operator(q, k, v, **arguments)

    monkeypatch.setattr(F, 'scaled_dot_product_attention', listen)
    found = values_and_gradients(lambda *x: attend_on_gpu(*x, A100, scale=None, dropout=0.0), leaves)
    assert asked == [True]
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)
    assert leaves[0].grad is None
    with torch.no_grad():
        attend_on_gpu(*leaves, A100, scale=None, dropout=0.0)
    assert asked == [True, False]


def test_every_kernel_is_noted_with_its_reasons(monkeypatch):
    monkeypatch.setattr(fused, 'kernels', {})
    q, k, v, added = inputs(20, 64, torch.bfloat16)
    for mask in (added, added.detach(), None):
        attend_on_gpu(q, k, v, mask, H100, scale=None, dropout=0.0)
    case = 'bfloat16, heads of 24 channels with padding, 64 tokens'
    assert fused.kernels == {
        f'{case}, mask with gradient': (
            'memory-efficient kernel (cuDNN takes no mask that needs a gradient; flash takes no mask)'
        ),
        f'{case}, mask': (
            'memory-efficient kernel (cuDNN may return NaN gradients for 64 tokens with a mask; flash takes no mask)'
        ),
        f'{case}, no mask': 'cuDNN kernel',
    }


def test_cpus_get_what_pytorch_computes(calls):
    q, k, v, added = inputs(5, 64)
    assert torch.equal(fused_attention(q, k, v, added), F.scaled_dot_product_attention(q, k, v, attn_mask=added))
    assert [seen[0] for seen in calls] == [5, 5]


def test_without_a_gpu_to_ask_the_strictest_rules_hold():
    assert gpu_of(torch.device('cuda', 9)) == fused.STRICTEST or torch.cuda.is_available()


@pytest.mark.parametrize('mutual', [False, True])
def test_windows_with_padded_heads(mutual, calls):
    window, shift, heads, head_dim = (2, 3, 4), (1, 1, 2), 2, 5
    layout = WindowLayout((1, 4, 6, 8), window, shift)
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(8, 24, 3 * heads * head_dim, generator=generator, requires_grad=True)
    bias = None if mutual else torch.randn(heads, 24, 24, generator=generator, requires_grad=True)
    settings = Settings(window, shift, heads, mutual, 1 / math.sqrt(head_dim))
    found, expected = (
        values_and_gradients(lambda *x: function(*x, settings, layout.kinds()), (qkv, bias))  # noqa: B023
        for function in (attend_with_padded_heads, sdpa)
    )
    assert {seen[0] for seen in calls} == {5, 8}
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('tokens', [64, 6])
def test_a_compiled_graph_takes_the_path_of_gpus_without_breaks(tokens):
    def attend(q, k, v, added):
        return attend_on_gpu(q, k, v, added, gpu_of(q.device), scale=None, dropout=0.0)

    leaves = inputs(5, tokens, trained=(False, True))
    compiled = torch.compile(attend, backend='aot_eager', fullgraph=True)
    found, expected = values_and_gradients(compiled, leaves), values_and_gradients(attend, leaves)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right)
    bfloat16 = inputs(20, tokens, torch.bfloat16, (True, False))
    torch.testing.assert_close(compiled(*bfloat16), attend(*bfloat16), rtol=2e-2, atol=2e-2)
