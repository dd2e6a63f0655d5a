"""The CPU kernel of window attention, compiled from C++, against the reference in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vrtspike.models.layers.attention import WindowAttention
from vrtspike.ops import WINDOW_ATTENTION, use_backends, window_attention
from vrtspike.ops.window_attention import native

MISSING = native.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f'the kernel {MISSING}')

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
ROUNDING = 1e-6
"""What float32 may leave of a gradient that cancels to zero, as with a single key: its terms are of order one."""
NO_SHIFT = (0, 0, 0)


def make_inputs(grid, window, heads, width, dtype, seed=0):
    """Return a map (2, T, H, W, 3*C) of ``grid`` windows and a float32 bias table."""
    generator = torch.Generator().manual_seed(seed)
    size = [count * length for count, length in zip(grid, window, strict=True)]
    qkv = torch.randn(2, *size, 3 * heads * width, generator=generator).to(dtype)
    return qkv, torch.randn(math.prod(2 * length - 1 for length in window), heads, generator=generator)


def run(backend, qkv, table, **arguments):
    """Return output, gradient of the map and of the table."""
    qkv = qkv.detach().requires_grad_()
    table = None if table is None else table.detach().requires_grad_()
    with use_backends(window_attention=backend):
        out = window_attention(qkv, table, **arguments)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)
    (out * weights.to(out.dtype)).sum().backward()
    return out.detach(), qkv.grad, None if table is None else table.grad


def assert_agrees(qkv, table, **arguments):
    """Compare the kernel with the reference, each result by its largest value."""
    found = run('native', qkv, table, **arguments)
    expected = run('reference', qkv.double(), None if table is None else table.double(), **arguments)
    for left, right in zip(found, expected, strict=True):
        if right is not None:
            assert (left - right).abs().max() <= TOLERANCE[qkv.dtype] * right.abs().max() + ROUNDING
    assert found[0].dtype == found[1].dtype == qkv.dtype


@st.composite
def cases(draw):
    mutual = draw(st.booleans())
    lengths = st.integers(1, 5)
    window = (draw(st.integers(1, 2)) if mutual else draw(st.integers(1, 3)), draw(lengths), draw(lengths))
    shift = tuple(draw(st.integers(0, length - 1)) for length in window)
    arguments = dict(window=window, shift=shift, mutual=mutual, heads=draw(st.integers(1, 3)))
    grid = tuple(draw(st.integers(1, 3)) for _ in range(3))
    return grid, not mutual and draw(st.booleans()), arguments


@settings(max_examples=60, deadline=None)
@given(case=cases(), width=st.sampled_from([1, 3, 4, 16, 20, 33, 128]), dtype=st.sampled_from(list(TOLERANCE)))
def test_values_and_gradients_agree_with_the_reference(case, width, dtype):
    grid, has_bias, arguments = case
    qkv, table = make_inputs(grid, arguments['window'], arguments['heads'], width, dtype)
    assert_agrees(qkv, table if has_bias else None, **arguments)


@pytest.mark.usefixtures('vectors')
@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('width', [16, 20])
def test_windows_of_published_networks(width, dtype):
    qkv, table = make_inputs((1, 2, 1), (6, 8, 8), 2, width, dtype)
    assert_agrees(qkv, table, window=(6, 8, 8), shift=(3, 4, 4), heads=2, mutual=False)


@pytest.mark.parametrize('threads', [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads):
    """Threads divide heads and windows; every number of them sums the bias gradient in an order of its own."""
    qkv, table = make_inputs((1, 3, 2), (2, 3, 3), 2, 8, torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        arguments = dict(window=(2, 3, 3), shift=(1, 1, 1), heads=2, mutual=False)
        assert_agrees(qkv, table, **arguments)
        first, second = (run('native', qkv, table, **arguments) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_heads_wider_than_the_kernel_takes_are_served():
    qkv, table = make_inputs((1, 1, 2), (1, 2, 2), 1, 132, torch.float32)
    assert_agrees(qkv, table, window=(1, 2, 2), shift=NO_SHIFT, heads=1, mutual=False)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_what_is_no_number_is_not_hidden(value):
    """A training whose loss is NaN has to be told, so the kernel must not swallow one."""
    qkv, table = make_inputs((1, 1, 2), (1, 4, 5), 1, 4, torch.float32)
    qkv[0, 0, 1, 1, 0] = value  # a query of the first window
    with use_backends(window_attention='native'):
        out = window_attention(qkv, table, window=(1, 4, 5), shift=NO_SHIFT, heads=1, mutual=False)
    broken = out.isnan().any(-1)
    assert broken[0, 0, 1, 1]
    assert broken.sum() == 1


def test_large_scores_neither_overflow_nor_lose_the_largest():
    qkv = torch.zeros(1, 1, 1, 3, 3)
    qkv[..., 0] = 1000  # queries
    qkv[0, 0, 0, :, 1] = torch.tensor([-1.0, 0.0, 1.0])  # keys
    qkv[0, 0, 0, :, 2] = torch.tensor([5.0, 6.0, 7.0])  # values
    with use_backends(window_attention='native'):
        out = window_attention(qkv, None, window=(1, 1, 3), shift=NO_SHIFT, heads=1, mutual=False)
    assert out.flatten().tolist() == [7.0, 7.0, 7.0]


def test_inputs_without_gradients_get_none():
    """A frozen table, or a table alone that learns."""
    qkv, table = make_inputs((1, 1, 2), (1, 2, 2), 1, 4, torch.float32)
    arguments = dict(window=(1, 2, 2), shift=NO_SHIFT, heads=1, mutual=False)
    expected = run('reference', qkv.double(), table.double(), **arguments)
    for learns in ('qkv', 'table'):
        leaves = [qkv.clone().requires_grad_(learns == 'qkv'), table.clone().requires_grad_(learns == 'table')]
        with use_backends(window_attention='native'):
            out = window_attention(*leaves, **arguments)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        for leaf, right in zip(leaves, expected[1:], strict=True):
            if leaf.requires_grad:
                torch.testing.assert_close(leaf.grad.double(), right, rtol=1e-5, atol=1e-6)
            else:
                assert leaf.grad is None


def test_auto_takes_it_on_cpus():
    qkv, _ = make_inputs((1, 1, 1), (1, 2, 2), 1, 4, torch.float32)
    assert WINDOW_ATTENTION.select(qkv).name == 'native'


def test_a_layer_keeps_no_scores_for_the_backward_pass():
    torch.manual_seed(0)
    layer, x = WindowAttention(8, (2, 8, 8), 2, mutual=True), torch.randn(1, 2, 16, 16, 8, requires_grad=True)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage().data_ptr(), t), lambda t: t
    ):
        layer(x, (0, 4, 4))
    scores = 4 * 2 * 128 * 128  # windows, heads, queries, keys
    assert sum(t.numel() for t in kept.values() if not isinstance(t, nn.Parameter)) < scores


def test_it_passes_the_checks_of_custom_operators():
    """Schema, shapes without values, and gradients as a compiler sees them."""
    labels, kinds = torch.zeros(8, 16), torch.zeros(2, dtype=torch.int32)
    qkv, bias = torch.randn(2, 4, 12, requires_grad=True), torch.randn(1, 4, 16)
    torch.library.opcheck(native._attend, (qkv, bias, labels, kinds, 1, 1, 0.5, True))


def test_numbers_below_the_normal_ones_are_the_same_afterwards():
    qkv, table = make_inputs((2, 2, 2), (2, 4, 4), 2, 8, torch.float32)
    run('native', qkv, table, window=(2, 4, 4), shift=(1, 2, 2), mutual=False, heads=2)
    tiny = torch.full((1 << 20,), 1e-39)  # large enough for all threads
    assert (tiny * 0.5 != 0).all()


def test_gradients_of_rounded_results_are_not_shifted():
    """Values that differ little around a large mean: rounding the result changes more than what tells keys apart."""
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(1, 4, 8, 8, 3 * 16, generator=generator)
    qkv[..., 32:] = 8 + qkv[..., 32:] / 8
    qkv = qkv.bfloat16()
    table = torch.randn(3 * 7 * 7, 2, generator=generator)
    arguments = dict(window=(2, 4, 4), shift=NO_SHIFT, mutual=False, heads=2)
    *_, found = run('native', qkv, table, **arguments)
    *_, expected = run('reference', qkv.double(), table.double(), **arguments)
    assert (found - expected).norm() < 0.02 * expected.norm()
