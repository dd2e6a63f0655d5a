"""Tiling against the untiled result, with networks whose receptive field is known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.tiling import Tiling, cut_axis, restore_clip, stream_clip


@given(
    length=st.integers(1, 60),
    size=st.integers(1, 24),
    overlap=st.integers(0, 23),
    multiple=st.integers(1, 4),
    blend=st.floats(0, 1),
)
def test_weights_sum_to_one_everywhere_and_tiles_overlap_as_asked(length, size, overlap, multiple, blend):
    length, size = length * multiple, size * multiple
    if overlap > size - multiple:
        return
    cut = cut_axis(length, size, overlap, blend=blend, multiple=multiple)
    total = torch.zeros(length)
    for start, weights in zip(cut.starts, cut.weights, strict=True):
        assert start % multiple == 0
        total[start : start + cut.size] += weights
    assert torch.allclose(total, torch.ones(length), atol=1e-6)
    assert cut.weights.min() >= 0
    assert all(b + cut.size <= length for b in cut.starts)
    assert all(a + cut.size - b >= overlap for a, b in zip(cut.starts, cut.starts[1:], strict=False))


def spread(field, time_field):
    """Return a network whose every output depends on ``field`` x ``field`` pixels and ``time_field`` frames of both."""
    generator = torch.Generator().manual_seed(field)
    kernel = torch.rand(3, 7, time_field, field, field, generator=generator) / (field * field * time_field)

    def network(blur, spikes):
        spikes = F.interpolate(spikes.flatten(0, 1), size=blur.shape[-2:], mode='nearest').unflatten(0, blur.shape[:2])
        maps = torch.cat([blur, spikes], 2).transpose(1, 2)
        return torch.tanh(F.conv3d(maps, kernel, padding='same')).transpose(1, 2)

    return network


def clip(frames=7, size=(48, 72), ratio=2, batch=1):
    generator = torch.Generator().manual_seed(0)
    height, width = (int(side / ratio) for side in size)
    return (
        torch.rand(batch, frames, 3, *size, generator=generator),
        torch.rand(batch, frames, 4, height, width, generator=generator),
    )


@pytest.mark.parametrize('ratio', [1, 2, 1.5, 0.5, 3])
@pytest.mark.parametrize('tiles_per_batch', [1, 5])
def test_a_receptive_field_no_larger_than_the_overlap_leaves_no_seams(ratio, tiles_per_batch):
    blur, spikes = clip(ratio=ratio)
    tiling = Tiling((5, 24, 48), (3, 9, 9), blend=0, tiles_per_batch=tiles_per_batch)
    network = spread(9, 3)
    tiled = restore_clip(network, blur, spikes, tiling, divisor=3)
    torch.testing.assert_close(tiled, network(blur, spikes), atol=1e-5, rtol=0)


def test_half_the_overlap_is_left_whole_at_half_the_blend():
    blur, spikes = clip()
    network = spread(9, 1)
    tiled = restore_clip(network, blur, spikes, Tiling((0, 32, 40), (0, 18, 18), blend=0.5), divisor=2)
    torch.testing.assert_close(tiled, network(blur, spikes), atol=1e-5, rtol=0)


def test_a_larger_receptive_field_shows():
    blur, spikes = clip()
    network = spread(9, 1)
    tiled = restore_clip(network, blur, spikes, Tiling((0, 26, 38), (0, 2, 2), blend=0), divisor=2)
    assert (tiled - network(blur, spikes)).abs().max() > 1e-3


def test_a_network_that_enlarges():
    blur, spikes = clip()

    def double(blur, spikes):
        return blur.repeat_interleave(2, -1).repeat_interleave(2, -2)

    tiled = restore_clip(double, blur, spikes, Tiling((3, 32, 32), (1, 8, 8)), scale=2)
    torch.testing.assert_close(tiled, double(blur, spikes), atol=1e-6, rtol=0)


def test_a_constant_stays_constant_up_to_the_border():
    blur = torch.ones(2, 6, 3, 40, 56)
    tiled = restore_clip(lambda blur, spikes: blur, blur, None, Tiling((4, 16, 24), (2, 8, 8), 1.0, 3))
    torch.testing.assert_close(tiled, blur, atol=1e-6, rtol=0)


def test_every_tile_has_one_size_and_its_own_spikes():
    blur, spikes = clip(size=(48, 80))
    place = torch.arange(48.0)[:, None] * 100 + torch.arange(80.0)
    blur[:] = place
    spikes[:] = place[::2, ::2]
    seen = []

    def network(blur, spikes):
        seen.append((tuple(blur.shape), tuple(spikes.shape)))
        assert torch.equal(blur[..., ::2, ::2][:, :, 0], spikes[:, :, 0])
        return blur

    restore_clip(network, blur, spikes, Tiling((3, 16, 32), (1, 8, 8)))
    assert set(seen) == {((1, 3, 3, 16, 32), (1, 3, 4, 8, 16))}


@pytest.mark.parametrize('first', range(9))
def test_streaming_from_any_frame_on_gives_the_same_frames(first):
    blur, spikes = clip(frames=9)
    network, tiling = spread(3, 9), Tiling((4, 0, 0), (2, 0, 0))
    reads = []

    def read(start, stop):
        reads.append((start, stop))
        return blur[:, start:stop], spikes[:, start:stop]

    streamed = torch.cat(list(stream_clip(network, read, 9, tiling, first=first)), 1)
    torch.testing.assert_close(streamed, restore_clip(network, blur, spikes, tiling)[:, first:], atol=0, rtol=0)
    assert all(stop - start == 4 for start, stop in reads)
    assert min(start for start, _ in reads) >= first - 3


def test_the_ensemble_undoes_every_reflection():
    blur, spikes = clip(size=(16, 24))
    whole = restore_clip(lambda blur, spikes: blur, blur, spikes, Tiling(ensemble=True))
    torch.testing.assert_close(whole, blur)
    seen = []

    def lopsided(blur, spikes):
        seen.append((blur.shape[-2:], spikes.shape[-2:]))
        return torch.arange(blur.shape[-1], dtype=torch.float32).expand(blur.shape)

    mean = restore_clip(lopsided, blur, spikes, Tiling(ensemble=True))
    torch.testing.assert_close(mean, mean.flip(-1))
    torch.testing.assert_close(mean, mean.flip(-2))
    assert seen.count(((16, 24), (8, 12))) == seen.count(((24, 16), (12, 8))) == 4


def test_half_precision_is_close_and_gives_float32():
    blur, spikes = clip()
    network = spread(3, 1)
    half = restore_clip(network, blur, spikes, Tiling(precision='bfloat16'))
    assert half.dtype == torch.float32
    difference = (half - network(blur, spikes)).abs().max()
    assert 0 < difference < 0.02


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(tile=(5, 64, 64), overlap=(5, 8, 8)), 'tiles of 5 frames cannot overlap by 5'),
        (dict(tile=(5, 64, 64), overlap=(2, 80, 8)), 'choose an overlap below 64'),
        (dict(tile=(5, 64)), 'three whole numbers'),
        (dict(tile=(5, -8, 8)), 'three whole numbers'),
        (dict(blend=1.5), 'blend'),
        (dict(tiles_per_batch=0), 'tiles_per_batch'),
        (dict(precision='half'), "expected 'float32'"),
    ],
)
def test_what_cannot_work_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Tiling(**arguments)


@pytest.mark.parametrize(
    ('tile', 'overlap', 'message'), [(20, 4, 'choose a multiple of 8'), (16, 12, 'an overlap of at most 8')]
)
def test_tiles_off_the_common_grid_are_refused(tile, overlap, message):
    blur, spikes = clip()
    with pytest.raises(ConfigError, match=message):
        restore_clip(spread(3, 1), blur, spikes, Tiling((0, tile, 0), (0, overlap, 0)))
