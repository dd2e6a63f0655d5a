"""The eight reflections and rotations of a clip, and the mean of what a network makes of them."""

import itertools

import pytest
import torch

from vrtspike.models.self_ensemble import reflect, undo_reflection, with_reflections

REFLECTIONS = list(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize('reflection', REFLECTIONS)
def test_a_reflection_is_undone(reflection):
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    assert torch.equal(undo_reflection(reflect(maps, *reflection), *reflection), maps)


def test_the_reflections_are_eight_different_ones():
    square = torch.arange(4).view(2, 2)
    assert len({tuple(reflect(square, *reflection).flatten().tolist()) for reflection in REFLECTIONS}) == 8


def test_pixelwise_networks_are_unchanged_and_spikes_turn_with_the_frames():
    blur, spikes = torch.rand(1, 2, 3, 4, 6), torch.rand(1, 2, 3, 4, 6)
    run = with_reflections(lambda frames, counts: 2 * frames + counts)
    torch.testing.assert_close(run(blur, spikes), 2 * blur + spikes)
    torch.testing.assert_close(with_reflections(lambda frames, counts: frames)(blur, None), blur)


def test_the_mean_forgets_the_direction_of_a_network():
    blur = torch.rand(1, 1, 1, 4, 4)
    run = with_reflections(lambda frames, _: frames.roll(1, dims=-1))
    neighbours = [blur.roll(shift, dims=axis) for shift in (1, -1) for axis in (-1, -2)]
    torch.testing.assert_close(run(blur, None), sum(neighbours) / 4)


def test_the_mean_is_summed_in_float32():
    assert with_reflections(lambda frames, _: frames)(torch.rand(1, 1, 1, 2, 2).bfloat16(), None).dtype == torch.float32
