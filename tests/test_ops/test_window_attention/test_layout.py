"""Windows in the order of their kinds: the layout that attention uses if a backend takes windows."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vrtspike.models.layers.attention import WindowAttention
from vrtspike.ops import WINDOW_ATTENTION, chunks, map_windows, use_backends
from vrtspike.ops.padding import pad_to_windows
from vrtspike.ops.rows import gather, scatter
from vrtspike.ops.window_attention import functional
from vrtspike.ops.window_attention.layout import WindowLayout, padded_order, split_kinds, token_order
from vrtspike.ops.window_attention.reference import map_regions, mask_between
from vrtspike.ops.window_attention.sdpa import without_time
from vrtspike.ops.window_attention.windows import window_mask

BY_WINDOWS = [backend.name for backend in WINDOW_ATTENTION.backends if backend.by_windows]


@st.composite
def layouts(draw):
    window = tuple(draw(st.integers(1, 3)) for _ in range(3))
    size = (draw(st.integers(1, 2)), *(draw(st.integers(1, 3)) * length for length in window))
    return WindowLayout(size, window, tuple(draw(st.integers(0, length - 1)) for length in window))


def numbered(layout):
    """Return a map (B, T, H, W, 1) whose tokens are numbers of their own."""
    return torch.arange(math.prod(layout.size), dtype=torch.float64).view(*layout.size, 1)


@settings(max_examples=40, deadline=None)
@given(layout=layouts())
def test_to_map_undoes_to_windows_and_so_do_the_gradients(layout):
    x = numbered(layout).requires_grad_()
    windows = layout.to_windows(x)
    assert windows.shape == (math.prod(layout.size) // math.prod(layout.window), math.prod(layout.window), 1)
    assert torch.equal(layout.to_map(windows), x)
    weights = torch.randn_like(windows).requires_grad_()
    (grad,) = torch.autograd.grad((windows * weights).sum(), x, create_graph=True)
    assert torch.equal(grad, layout.to_map(weights))
    (twice,) = torch.autograd.grad((grad * x.detach()).sum(), weights)
    assert torch.equal(twice, windows)


@settings(max_examples=40, deadline=None)
@given(layout=layouts())
def test_the_views_of_compiled_graphs_have_the_same_order(layout):
    x = numbered(layout)
    parts = torch.cat([part.flatten(0, 6) for part in layout.parts(x)])
    order = token_order(layout, layout.size, x.device)
    assert torch.equal(parts, x.flatten(0, 3)[order.sources])
    assert torch.equal(layout.joined(parts.view(-1, math.prod(layout.window), 1)), x)


@settings(max_examples=40, deadline=None)
@given(layout=layouts(), missing=st.tuples(*[st.integers(0, 2)] * 3))
def test_zeros_fill_the_windows_of_a_smaller_map(layout, missing):
    batch, *sizes = layout.size
    size = (batch, *(max(1, length - each) for length, each in zip(sizes, missing, strict=True)))
    if any(-(-s // w) * w != length for s, w, length in zip(size[1:], layout.window, sizes, strict=True)):
        return  # it has fewer windows
    x = 1 + torch.arange(math.prod(size), dtype=torch.float64).view(*size, 1)
    order = token_order(layout, size, x.device)
    rows = gather(x.flatten(0, 3), order)
    assert torch.equal(rows, layout.to_windows(pad_to_windows(x, layout.window)).flatten(0, 1))
    assert torch.equal(scatter(rows, order).view_as(x), x)


@settings(max_examples=40, deadline=None)
@given(layout=layouts())
def test_every_window_has_the_mask_of_its_kind(layout):
    batch, *size = layout.size
    masks = mask_between(map_regions(tuple(size), layout.window, layout.shift, time=True), torch.float32)
    unshifted = WindowLayout(layout.size, layout.window, (0, 0, 0))
    rolled = numbered(layout).roll([-s for s in layout.shift], dims=(1, 2, 3))
    tokens = unshifted.to_windows(rolled)[..., 0].tolist()
    mask_of = dict(zip(map(tuple, tokens), masks.repeat(batch, 1, 1), strict=True))
    windows = iter(layout.to_windows(numbered(layout))[..., 0].tolist())
    for mixed, count in layout.kinds():
        expected = window_mask(mixed, layout.window, layout.shift, torch.device('cpu'))
        for _ in range(count):
            assert torch.equal(mask_of.pop(tuple(next(windows))), expected)
    assert not mask_of


@given(layout=layouts(), windows=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_chunks_hold_all_windows_in_their_order(layout, windows):
    def spelt_out(kinds):
        return [mixed for mixed, count in kinds for _ in range(count)]

    cut = list(split_kinds(layout.kinds(), windows))
    assert [mixed for chunk in cut for mixed in spelt_out(chunk)] == spelt_out(layout.kinds())
    counts = [len(spelt_out(chunk)) for chunk in cut]
    assert set(counts[:-1]) <= {windows}
    assert counts[-1] <= windows
    frames = without_time(layout.kinds())
    assert spelt_out(frames) == [(False, *mixed[1:]) for mixed in spelt_out(layout.kinds())]
    assert len(frames) <= 4


def attention(mutual, window=(2, 4, 3), heads=2):
    torch.manual_seed(0)
    module = WindowAttention(8, window, heads, mutual=mutual).double()
    torch.nn.init.normal_(module.relative_position_bias_table)
    return module


def values_and_gradients(module, x, shift, backend):
    x = x.clone().requires_grad_()
    with use_backends(window_attention=backend):
        out = module(x, shift)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()} | {'x': x.grad}
    module.zero_grad(set_to_none=True)
    return {'out': out.detach(), **gradients}


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    shift=st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 2)),
    mutual=st.booleans(),
)
def test_the_module_agrees_with_the_reference_on_any_map(size, shift, mutual):
    """Windows that pad the map, that exceed it, and mutual attention of one frame among them."""
    module = attention(mutual)
    x = torch.randn(*size, 8, dtype=torch.float64)
    found, expected = (values_and_gradients(module, x, shift, backend) for backend in ('sdpa', 'reference'))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('mutual', [False, True])
@pytest.mark.parametrize('rows', [1, 60, 200, 10_000])
def test_chunks_change_nothing(mutual, rows, monkeypatch):
    module, x = attention(mutual), torch.randn(2, 5, 9, 7, 8, dtype=torch.float64)
    expected = values_and_gradients(module, x, (1, 2, 1), 'reference')['out']
    monkeypatch.setattr(chunks, 'chunk_rows', lambda: rows)
    monkeypatch.setattr(functional, 'chunk_rows', lambda: rows)
    with torch.no_grad():
        torch.testing.assert_close(module(x, (1, 2, 1)), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('rows', [60, 10_000])
@pytest.mark.parametrize('backend', ['sdpa', 'reference'])
def test_results_are_added_to_the_map(backend, rows, monkeypatch):
    module, x = attention(mutual=True), torch.randn(2, 5, 9, 7, 8, dtype=torch.float64)
    monkeypatch.setattr(functional, 'chunk_rows', lambda: rows)
    with use_backends(window_attention=backend):
        plain = module(x, (1, 2, 1))
        for trains in (True, False):
            with torch.set_grad_enabled(trains):
                found = module(x, (1, 2, 1), added_by=0.5)
            torch.testing.assert_close(found, x + 0.5 * plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('backend', ['sdpa', 'reference'])
def test_results_are_added_to_the_map_that_the_norm_returns(backend):
    def norm(x, order=None):
        return x + 1, functional.unchanged(x, order)[1]

    module, x = attention(mutual=False), torch.randn(1, 3, 5, 4, 8, dtype=torch.float64)
    with use_backends(window_attention=backend):
        expected = x + 1 + 0.5 * module(x, (0, 1, 2))
        torch.testing.assert_close(module(x, (0, 1, 2), norm, 0.5), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('backend', BY_WINDOWS)
def test_backends_by_windows_agree_with_the_reference(backend):
    module, x = attention(mutual=True), torch.randn(1, 4, 8, 6, 8, dtype=torch.float64)
    with torch.no_grad(), use_backends(window_attention='reference'):
        expected = module(x, (1, 2, 1))
    backend = WINDOW_ATTENTION.find(backend)
    dtype, tolerance = (torch.float64, 1e-10) if not backend.dtypes else (torch.float32, 1e-5)
    if backend.missing():
        pytest.skip(f"'{backend.name}' {backend.missing()}")
    with torch.no_grad(), use_backends(window_attention=backend.name):
        found = module.to(dtype)(x.to(dtype), (1, 2, 1))
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_windows_come_in_the_layout_of_the_backend_and_nothing_is_recorded_before_attending():
    x = torch.arange(16.0).view(1, 2, 2, 4, 1)
    arguments = dict(window=(2, 2, 2), shift=(0, 0, 1), heads=1)
    before, shapes = dict(WINDOW_ATTENTION.choices), []

    def double(windows):
        shapes.append(tuple(windows.tokens.shape))
        return 2 * windows.tokens

    for backend in ('auto', 'reference'):
        assert torch.equal(map_windows(double, x, None, backend=backend, **arguments), 2 * x)
    with use_backends(window_attention='reference'):
        map_windows(double, x, None, backend='sdpa', **arguments)
    assert shapes == [(2, 8, 1), (1, 2, 2, 4, 1), (1, 2, 2, 4, 1)]
    assert WINDOW_ATTENTION.choices == before


@pytest.mark.parametrize('size', [(2, 3, 5, 7), (1, 2, 4, 3)])
def test_a_map_in_the_order_of_its_padding_is_the_padded_map(size):
    x, window = torch.randn(*size, 3), (2, 4, 3)
    order = padded_order(size, window, x.device)
    rows = gather(x.flatten(0, 3), order)
    assert torch.equal(rows, pad_to_windows(x, window).flatten(0, 3))
    assert torch.equal(scatter(rows, order), x.flatten(0, 3))


@pytest.mark.parametrize('shift', [(0, 0, 0), (0, 1, 2), (1, 2, 3)])
def test_a_position_encoding_is_the_same_in_a_map_and_in_windows(shift):
    window, encoding = (2, 3, 4), torch.randn(3, 4, 5)
    x = torch.randn(2, 4, 6, 8, 5)

    def encoded(windows):
        return windows.encoded(encoding)

    arguments = dict(window=window, shift=shift, heads=1)
    by_map, by_windows = (map_windows(encoded, x, None, backend=each, **arguments) for each in ('reference', 'sdpa'))
    assert torch.equal(by_map, by_windows)
    repeated = encoding.repeat(2, 2, 1).roll(shift[1:], dims=(0, 1))
    torch.testing.assert_close(by_map, x + repeated, rtol=0, atol=0)
