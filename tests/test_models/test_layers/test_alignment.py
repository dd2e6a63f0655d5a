"""Parallel warping: which frames are aligned with which, in both directions."""

import pytest
import torch
from gpu_paths import take_gpu_paths

from vrtspike.models.layers.alignment import align_both_ways, sampled_positions, warp


def make_flows(x, distances, seed):
    """Return a flow for each distance; the clip is too short for some."""
    generator = torch.Generator().manual_seed(seed)
    b, t, _, height, width = x.shape
    sizes = [(b, max(t - d, 0), 2, height, width) for d in range(1, distances + 1)]
    return [torch.randn(size, generator=generator) for size in sizes]


def seen(neighbours, warped, current, flows):
    """Stand for the convolution: return its inputs as one map."""
    return torch.cat((neighbours, warped, current, flows), dim=1)


def expected_at(x, flows, t, step, distances):
    """Return what the convolution sees of frame ``t`` and the frames ``step``, ``2 * step``, ... after it."""
    zero = torch.zeros_like(x[:, 0])
    neighbours, given = [], []
    for d in range(1, distances + 1):
        inside = 0 <= t + d * step < x.shape[1]
        neighbours.append(x[:, t + d * step] if inside else zero)
        given.append(flows[d - 1][:, t if step > 0 else t - d] if inside else torch.zeros_like(zero[:, :2]))
    warped = [warp(frame, flow) for frame, flow in zip(neighbours, given, strict=True)]
    return torch.cat((*neighbours, *warped, x[:, t], *given), dim=1)


@pytest.mark.parametrize('distances', [1, 2, 3])
@pytest.mark.parametrize('frames', [2, 3, 5])
def test_every_frame_sees_its_neighbours_on_both_sides(frames, distances):
    x = torch.randn(2, frames, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    backward, forward = make_flows(x, distances, 1), make_flows(x, distances, 2)
    after, before = align_both_ways(seen, x, backward, forward)
    for t in range(frames - 1):
        torch.testing.assert_close(after[:, t], expected_at(x, backward, t, 1, distances), rtol=0, atol=0)
    for t in range(1, frames):
        torch.testing.assert_close(before[:, t], expected_at(x, forward, t, -1, distances), rtol=0, atol=0)
    assert not after[:, -1].any()
    assert not before[:, 0].any()


def test_a_single_frame_has_no_neighbours():
    x = torch.randn(2, 1, 3, 4, 5)
    for found in align_both_ways(seen, x, [x[:, :0, :2]], [x[:, :0, :2]]):
        assert torch.equal(found, torch.zeros_like(x))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_positions_of_gpus_are_the_same_to_rounding(monkeypatch, dtype):
    flow = 5 * torch.randn(2, 2, 7, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = sampled_positions(flow)
    take_gpu_paths(monkeypatch)
    found = sampled_positions(flow)
    assert found.dtype == expected.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(found, expected)
