"""Sizes of chunks, and cutting and joining maps."""

import warnings
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.errors import ConfigError
from vrtspike.models.layers.chunking.split import CHUNK_SHAPES, MAX_SEQUENCES, ChunkOptions, chunk_sizes, map_chunks

OPTIONS = st.builds(
    ChunkOptions,
    adaptive_chunk=st.booleans(),
    max_batch_tokens=st.integers(1, 200_000),
    chunk_size=st.integers(1, 400),
    chunk_shape=st.sampled_from(CHUNK_SHAPES),
)


def count_chunks(batch, options, side=256):
    h, w = chunk_sizes(batch, side, side, options)
    return ceil(side / h) * ceil(side / w)


@pytest.mark.parametrize(('chunk_size', 'expected'), [(64, 16), (80, 16), (96, 9)])
def test_chunks_of_a_256_crop(chunk_size, expected):
    assert count_chunks(1, ChunkOptions(chunk_size=chunk_size)) == expected


@pytest.mark.parametrize(('chunk_size', 'first'), [(64, 13), (80, 8), (96, 6)])
def test_batch_at_which_a_larger_budget_first_matters(chunk_size, first):
    small, large = (ChunkOptions(max_batch_tokens=limit, chunk_size=chunk_size) for limit in (49152, 65536))
    differs = [b for b in range(1, 16) if chunk_sizes(b, 256, 256, small) != chunk_sizes(b, 256, 256, large)]
    assert differs[0] == first


@pytest.mark.parametrize(
    ('shape', 'size', 'expected'),
    [
        ('square', (256, 256), (64, 64)),
        ('wide', (256, 256), (51, 80)),
        ('tall', (256, 256), (80, 51)),
        ('wide', (256, 40), (102, 40)),
        ('wide', (48, 256), (48, 80)),
        ('tall', (40, 256), (40, 102)),
    ],
)
def test_shapes_keep_the_area_and_stay_inside_the_map(shape, size, expected):
    assert chunk_sizes(1, *size, ChunkOptions(chunk_shape=shape)) == expected


def test_fixed_chunks_ignore_the_budget_and_the_shape():
    options = ChunkOptions(adaptive_chunk=False, max_batch_tokens=1, chunk_size=32, chunk_shape='wide')
    assert chunk_sizes(4, 256, 256, options) == (32, 32)


def test_a_chunk_has_one_pixel_even_where_the_batch_exceeds_the_budget():
    assert chunk_sizes(8, 16, 16, ChunkOptions(max_batch_tokens=4)) == (1, 1)


@given(st.integers(1, 300), st.integers(1, 512), st.integers(1, 512), OPTIONS)
def test_no_chunk_leaves_the_map_or_exceeds_a_limit(batch, height, width, options):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        h, w = chunk_sizes(batch, height, width, options)
    assert 1 <= h <= height
    assert 1 <= w <= width
    assert batch * h * w <= MAX_SEQUENCES
    if options.adaptive_chunk:
        assert h * w <= options.chunk_size**2
        assert batch * h * w <= max(options.max_batch_tokens, batch)


@pytest.mark.parametrize('adaptive', [True, False])
def test_a_chunk_beyond_the_kernels_ceiling_shrinks_with_a_warning(adaptive):
    options = ChunkOptions(adaptive_chunk=adaptive, max_batch_tokens=65536, chunk_size=256)
    with pytest.warns(UserWarning, match=r'256x256 pixels of 1 clips .* 65535 .* using chunks of 256x255'):
        assert chunk_sizes(1, 256, 256, options) == (256, 255)


def test_a_batch_beyond_the_kernels_ceiling_is_refused():
    with pytest.raises(ConfigError, match='batch of 65536 clips'):
        chunk_sizes(65536, 8, 8, ChunkOptions())


@pytest.mark.parametrize('argument', ['max_batch_tokens', 'chunk_size'])
@pytest.mark.parametrize('value', [0, -64, 1.5])
def test_numbers_that_cannot_work_are_refused(argument, value):
    with pytest.raises(ConfigError, match=f'{argument}={value}'):
        ChunkOptions(**{argument: value})


def test_an_unknown_shape_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="chunk_shape='squared'; did you mean 'square'"):
        ChunkOptions(chunk_shape='squared')


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10))
def test_maps_are_cut_at_the_same_pixels_and_joined_in_order(height, width, chunk_size):
    x = torch.arange(2 * 3 * 2 * height * width).reshape(2, 3, 2, height, width)
    sizes = []

    def difference(left, right):
        sizes.append(left.shape[3:])
        return left - 2 * right

    result = map_chunks(difference, ChunkOptions(adaptive_chunk=False, chunk_size=chunk_size), x, x + 1)
    assert torch.equal(result, -x - 2)
    assert len(sizes) == ceil(height / chunk_size) * ceil(width / chunk_size)
    assert all(max(size) <= chunk_size for size in sizes)


def test_a_map_of_one_chunk_is_passed_through_uncut():
    x = torch.zeros(1, 2, 3, 8, 8)
    result = map_chunks(lambda chunk: chunk, ChunkOptions(), x)
    assert result.data_ptr() == x.data_ptr()


@pytest.mark.parametrize(('chunk_size', 'expected'), [(64, (60, 64)), (20, (20, 16)), (3, (5, 8)), (300, (220, 216))])
def test_chunks_hold_whole_windows(chunk_size, expected):
    options = ChunkOptions(max_batch_tokens=49152, chunk_size=chunk_size)
    assert chunk_sizes(1, 250, 240, options, window=(5, 8)) == expected


def test_a_chunk_is_one_window_at_least():
    assert chunk_sizes(4, 16, 16, ChunkOptions(max_batch_tokens=4), window=(8, 8)) == (8, 8)
