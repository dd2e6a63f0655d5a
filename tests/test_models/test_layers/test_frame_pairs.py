"""Pairs of neighbouring frames against PyTorch's own slices, values and gradients."""

import pytest
import torch

from vrtspike.models.layers.alignment import both_ways
from vrtspike.models.layers.frame_pairs import beside_neighbours, frame_pairs
from vrtspike.models.layers.padding import pad_frames


def slices(x):
    return both_ways(x[:, 1:], x[:, :-1]), both_ways(x[:, :-1], x[:, 1:])


def joined(x, aligned):
    after, before = aligned.unflatten(0, (2 * len(x), x.shape[1] - 1)).chunk(2)
    parts = x, pad_frames(after, after=1), pad_frames(before, before=1)
    return torch.cat([each.permute(0, 1, 3, 4, 2) for each in parts], dim=-1)


def run(function, *inputs):
    """Return the results and the gradients of the inputs."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    results = function(*leaves)
    results = results if isinstance(results, tuple) else (results,)
    grads = [torch.linspace(-1, i + 1, each.numel(), dtype=each.dtype).view_as(each) for i, each in enumerate(results)]
    return [*(each.detach() for each in results), *torch.autograd.grad(results, leaves, grads)]


@pytest.mark.parametrize('frames', [2, 3, 5])
def test_pairs_and_their_gradients_are_those_of_slices(frames):
    x = torch.randn(2, frames, 3, 4, 5, dtype=torch.float64)
    for found, expected in zip(run(frame_pairs, x), run(slices, x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('frames', [2, 4])
def test_frames_beside_their_neighbours_and_the_gradients_are_those_of_a_concatenation(frames):
    x = torch.randn(2, frames, 4, 5, 3, dtype=torch.float64).permute(0, 1, 4, 2, 3)
    aligned = torch.randn(2 * 2 * (frames - 1), 3, 4, 5, dtype=torch.float64)
    for found, expected in zip(run(beside_neighbours, x, aligned), run(joined, x, aligned), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ('function', 'sizes'), [(frame_pairs, [(1, 3, 2, 2, 2)]), (beside_neighbours, [(1, 3, 2, 2, 2), (4, 2, 2, 2)])]
)
def test_their_gradients_cannot_be_differentiated(function, sizes):
    leaves = [torch.randn(size, requires_grad=True) for size in sizes]
    results = function(*leaves)
    first = results[0] if isinstance(results, tuple) else results
    grad = torch.autograd.grad(first.square().sum(), leaves, create_graph=True)[0]
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()
