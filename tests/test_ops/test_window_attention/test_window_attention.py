import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vrtspike.errors import ConfigError
from vrtspike.ops import WINDOW_ATTENTION, use_backends, window_attention
from vrtspike.ops.window_attention import windows
from vrtspike.ops.window_attention.reference import map_regions, mask_between
from vrtspike.ops.window_attention.windows import (
    MASKED,
    crop_bias_table,
    merge,
    partition,
    relative_position_bias,
    relative_position_index,
    window_mask,
)

FAST = ['sdpa']  # what trains on CPUs in any type; others have files of their own
ON_GPU = [backend.name for backend in WINDOW_ATTENTION.backends if backend.name != 'reference']


def bias_rows(window):
    return math.prod(2 * length - 1 for length in window)


def make_inputs(grid, window, heads, channels_per_head=4, batch=1, seed=0):
    """Return a float64 map (B, T, H, W, 3*C) of ``grid`` windows and a bias table."""
    generator = torch.Generator().manual_seed(seed)
    size = [count * length for count, length in zip(grid, window, strict=True)]
    channels = 3 * heads * channels_per_head
    qkv = torch.randn(batch, *size, channels, dtype=torch.float64, generator=generator)
    table = torch.randn(bias_rows(window), heads, dtype=torch.float64, generator=generator)
    return qkv, table


def run(backend, qkv, table, **arguments):
    """Return the output and the gradients of map and table (None without one) for one backend."""
    qkv = qkv.detach().requires_grad_()
    table = None if table is None else table.detach().requires_grad_()
    with use_backends(window_attention=backend):
        out = window_attention(qkv, table, **arguments)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    (out * weights).sum().backward()
    return out.detach(), qkv.grad, None if table is None else table.grad


def assert_close(found, expected):
    """Compare what two calls of :func:`run` returned."""
    for left, right in zip(found, expected, strict=True):
        if right is not None:
            torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@st.composite
def cases(draw):
    mutual = draw(st.booleans())
    lengths = st.integers(1, 3)
    window = (draw(st.integers(1, 2)) if mutual else draw(lengths), draw(lengths), draw(lengths))
    grid = tuple(draw(st.integers(1, 3)) for _ in range(3))
    shift = tuple(draw(st.integers(0, length - 1)) for length in window)
    return dict(
        grid=grid,
        window=window,
        shift=shift,
        mutual=mutual,
        heads=draw(st.integers(1, 3)),
        bias=not mutual and draw(st.booleans()),
    )


@pytest.mark.parametrize('backend', FAST)
@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_values_and_gradients_agree_with_the_reference(backend, case):
    qkv, table = make_inputs(case['grid'], case['window'], case['heads'], batch=2)
    arguments = {key: case[key] for key in ('window', 'shift', 'mutual', 'heads')}
    table = table if case['bias'] else None
    assert_close(run(backend, qkv, table, **arguments), run('reference', qkv, table, **arguments))


@pytest.mark.parametrize('backend', [*FAST, 'reference'])
@pytest.mark.parametrize('mutual', [False, True])
def test_permuted_inputs_give_the_same_values(backend, mutual):
    qkv, table = make_inputs((2, 2, 3), (2, 3, 2), heads=2)
    channels_first = qkv.permute(0, 4, 1, 2, 3).contiguous().permute(0, 2, 3, 4, 1)
    assert not channels_first.is_contiguous()
    table = None if mutual else table
    arguments = dict(window=(2, 3, 2), shift=(1, 1, 1), heads=2, mutual=mutual)
    assert_close(run(backend, channels_first, table, **arguments), run(backend, qkv, table, **arguments))


@pytest.mark.parametrize('backend', FAST)
def test_float32_is_close_to_the_reference(backend):
    qkv, table = make_inputs((1, 2, 2), (2, 4, 4), heads=2)
    arguments = dict(window=(2, 4, 4), shift=(0, 2, 2), heads=2, mutual=False)
    found, *_ = run(backend, qkv.float(), table.float(), **arguments)
    expected, *_ = run('reference', qkv, table, **arguments)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize('backend', [*FAST, 'reference'])
def test_scale_replaces_the_default(backend):
    qkv, _ = make_inputs((1, 1, 1), (1, 2, 2), heads=1, channels_per_head=4)
    arguments = dict(window=(1, 2, 2), shift=(0, 0, 0), heads=1, mutual=False)
    with use_backends(window_attention=backend):
        default = window_attention(qkv, None, **arguments)
        torch.testing.assert_close(window_attention(qkv, None, scale=0.5, **arguments), default)
        flat = window_attention(qkv, None, scale=0.0, **arguments)
    mean = qkv[..., 8:].mean((1, 2, 3), keepdim=True).expand_as(flat)
    torch.testing.assert_close(flat, mean)


@pytest.mark.parametrize('backend', [*FAST, 'reference'])
def test_one_window_is_plain_attention(backend):
    qkv, table = make_inputs((1, 1, 1), (2, 2, 2), heads=1)
    q, k, v = qkv.reshape(8, 12).chunk(3, dim=-1)
    bias = torch.empty(8, 8, dtype=torch.float64)
    places = [(t, y, x) for t in range(2) for y in range(2) for x in range(2)]
    for i, query in enumerate(places):
        for j, key in enumerate(places):
            t, y, x = (a - b + 1 for a, b in zip(query, key, strict=True))
            bias[i, j] = table[(t * 3 + y) * 3 + x, 0]
    expected = ((q @ k.T) / 2 + bias).softmax(-1) @ v
    with use_backends(window_attention=backend):
        found = window_attention(qkv, table, window=(2, 2, 2), shift=(0, 0, 0), heads=1, mutual=False)
    torch.testing.assert_close(found.reshape(8, 4), expected)


@pytest.mark.parametrize('backend', [*FAST, 'reference'])
def test_mutual_attention_meets_the_other_frames_queries(backend):
    """At the first frame's place stands what the second frame's queries found in the first frame."""
    qkv, _ = make_inputs((1, 1, 1), (2, 2, 2), heads=1)
    (q1, k1, v1), (q2, k2, v2) = (frame.reshape(4, 12).chunk(3, dim=-1) for frame in qkv[0])
    expected = torch.stack([(q2 @ k1.T / 2).softmax(-1) @ v1, (q1 @ k2.T / 2).softmax(-1) @ v2])
    with use_backends(window_attention=backend):
        found = window_attention(qkv, None, window=(2, 2, 2), shift=(0, 0, 0), heads=1, mutual=True)
    torch.testing.assert_close(found.reshape(2, 4, 4), expected)


@pytest.mark.parametrize('backend', [*FAST, 'reference'])
def test_opposite_borders_do_not_meet_in_shifted_windows(backend):
    qkv, _ = make_inputs((1, 1, 3), (1, 1, 4), heads=1)
    changed = qkv.clone()
    changed[..., -1, :] += 1  # the last column shares its shifted window with the first two
    arguments = dict(window=(1, 1, 4), shift=(0, 0, 2), heads=1, mutual=False)
    with use_backends(window_attention=backend):
        difference = window_attention(changed, None, **arguments) - window_attention(qkv, None, **arguments)
    columns = difference.abs().amax((0, 1, 2, 4)) > 1e-9
    assert columns.tolist() == [False] * 10 + [True, True]


def test_bfloat16_is_close_to_the_reference():
    """Values and gradients; the statistics of the softmax are computed in float32."""
    qkv, table = make_inputs((1, 2, 3), (3, 4, 5), heads=2, channels_per_head=16)
    qkv = qkv.bfloat16()
    arguments = dict(window=(3, 4, 5), shift=(1, 2, 2), heads=2, mutual=False)
    found = run('sdpa', qkv, table.float(), **arguments)
    expected = run('reference', qkv.double(), table, **arguments)
    for left, right in zip(found, expected, strict=True):
        assert (left.double() - right).abs().max() < 2e-2 * right.abs().max()


def test_a_backend_can_be_asked_for_and_the_choice_is_noted():
    qkv, table = make_inputs((1, 1, 1), (1, 2, 2), heads=1)
    arguments = dict(window=(1, 2, 2), shift=(0, 0, 0), heads=1, mutual=False)
    window_attention(qkv, table, backend='reference', **arguments)
    assert WINDOW_ATTENTION.choices['cpu, float64, inference, reference'] == "'reference' (requested)"
    window_attention(qkv, table, **arguments)
    noted = WINDOW_ATTENTION.choices['cpu, float64, inference, auto']
    assert noted == "'sdpa' ('native' computes in torch.float32, torch.bfloat16, not torch.float64)"
    with pytest.raises(ConfigError, match="backend 'flash' cannot be used here: it runs on cuda, not cpu"):
        window_attention(qkv, table, backend='flash', **arguments)


@pytest.mark.gpu
@pytest.mark.parametrize('backend', ON_GPU)
def test_more_windows_than_a_cuda_kernel_takes(backend):
    qkv = torch.randn(1, 1, 600, 1000, 3 * 16, device='cuda')
    arguments = dict(window=(1, 2, 2), shift=(0, 1, 1), heads=1, mutual=False)
    with use_backends(window_attention=backend):
        out = window_attention(qkv, None, **arguments)
    with use_backends(window_attention='reference'):
        torch.testing.assert_close(out, window_attention(qkv, None, **arguments), rtol=1e-4, atol=1e-4)


def test_maps_of_part_windows_are_refused():
    qkv, _ = make_inputs((1, 1, 1), (2, 4, 5), heads=1)
    with pytest.raises(ValueError, match='W = 5 is not a multiple of the window length 4'):
        window_attention(qkv, None, window=(2, 4, 4), shift=(0, 0, 0), heads=1, mutual=False)


def test_mutual_attention_with_a_bias_is_refused():
    qkv, table = make_inputs((1, 1, 1), (2, 2, 2), heads=1)
    with pytest.raises(ValueError, match='give bias_table=None'):
        window_attention(qkv, table, window=(2, 2, 2), shift=(0, 0, 0), heads=1, mutual=True)


def test_mutual_attention_of_three_frames_is_refused():
    qkv, _ = make_inputs((1, 1, 1), (3, 2, 2), heads=1)
    with pytest.raises(ValueError, match='windows of 2 frames, found 3'):
        window_attention(qkv, None, window=(3, 2, 2), shift=(0, 0, 0), heads=1, mutual=True)


@given(window=st.tuples(*[st.integers(1, 4)] * 3))
@settings(max_examples=20, deadline=None)
def test_each_relative_offset_has_its_own_row(window):
    index = relative_position_index(window)
    assert index.shape == (math.prod(window),) * 2
    assert sorted(index.unique().tolist()) == list(range(bias_rows(window)))
    assert (index + index.T == bias_rows(window) - 1).all()


@given(full=st.tuples(*[st.integers(1, 4)] * 3), data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_cropped_table_keeps_true_offsets(full, data):
    small = tuple(data.draw(st.integers(1, length)) for length in full)
    table = torch.randn(bias_rows(full), 2)
    bias = relative_position_bias(table, full).reshape(2, *full, *full)
    t, h, w = small
    expected = bias[:, :t, :h, :w, :t, :h, :w].reshape(2, math.prod(small), -1)
    assert torch.equal(relative_position_bias(crop_bias_table(table, full, small), small), expected)


@given(grid=st.tuples(*[st.integers(1, 3)] * 3), window=st.tuples(*[st.integers(1, 3)] * 3))
@settings(max_examples=20, deadline=None)
def test_merge_undoes_partition(grid, window):
    x, _ = make_inputs(grid, window, heads=1)
    assert torch.equal(merge(partition(x, window)), x)


@given(data=st.data(), window=st.tuples(*[st.integers(1, 4)] * 3))
@settings(max_examples=20, deadline=None)
def test_the_mask_of_one_window_is_that_of_the_last_window_of_the_map(data, window):
    shift = tuple(data.draw(st.integers(0, length - 1)) for length in window)
    regions = map_regions(tuple(2 * length for length in window), window, shift, time=True)
    whole = mask_between(regions, torch.float32)
    mixed = tuple(bool(s) for s in shift)
    last = window_mask(mixed, window, shift, torch.device('cpu'))
    assert torch.equal(last, whole[-1])
    assert not whole[0].any()
    assert bool(last.any()) == any(shift)
    assert set(last.unique().tolist()) <= {0.0, MASKED}


def test_what_inference_mode_cached_serves_a_training():
    window, table = (1, 3, 5), torch.zeros(5 * 9, 2, requires_grad=True)
    with torch.inference_mode():
        windows.relative_position_bias(table, window)
    windows.relative_position_bias(table, window).sum().backward()
    # As many pairs of tokens read an entry as there are pairs at its offset.
    pairs = [[length - abs(offset) for offset in range(1 - length, length)] for length in window]
    reads = torch.tensor([float(math.prod(each)) for each in itertools.product(*pairs)])
    assert torch.equal(table.grad, reads[:, None].expand(-1, 2))
