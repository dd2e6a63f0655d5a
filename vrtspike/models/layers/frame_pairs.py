"""Pairs of neighbouring frames of a clip, with gradients that take few passes over memory; not for graphs.

PyTorch's own gradient of a slice of the frames fills a whole clip with zeros, and adds it to those of other slices.
Shapes: clips (B, T, C, H, W); pairs (2*B*(T-1), C, H, W), first those in which a frame sees the later one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def frame_pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the neighbour and the frame itself of every pair of a clip: the halves of each are those of the other."""
    return _FramePairs.apply(x)


def beside_neighbours(x: Tensor, aligned: Tensor) -> Tensor:
    """Return (B, T, H, W, 3*C): every frame of a clip, its aligned later one and its aligned earlier one.

    Frames beyond an end of the clip are zero.
    """
    return _BesideNeighbours.apply(x, aligned)


class _FramePairs(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.size = x.shape
        thirds = torch.cat((x[:, :-1], x[:, 1:], x[:, :-1])).flatten(0, 1)
        third = len(thirds) // 3
        return thirds[third:], thirds[: 2 * third]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_neighbours: Tensor, of_frames: Tensor) -> Tensor:
        batch, frames = ctx.size[:2]
        pairs = [grad.unflatten(0, (2, batch, frames - 1)) for grad in (of_neighbours, of_frames)]
        grad = of_neighbours.new_empty(ctx.size)
        torch.add(pairs[0][1], pairs[1][0], out=grad[:, :-1])
        grad[:, -1].zero_()
        grad[:, 1:] += pairs[0][0]
        grad[:, 1:] += pairs[1][1]
        return grad


class _BesideNeighbours(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, aligned: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        out = x.new_empty((batch, frames, height, width, 3 * channels))
        own, later, earlier = (part.permute(0, 1, 4, 2, 3) for part in out.chunk(3, dim=-1))
        from_later, from_earlier = aligned.unflatten(0, (2, batch, frames - 1))
        own.copy_(x)
        later[:, :-1].copy_(from_later)
        later[:, -1].zero_()
        earlier[:, 1:].copy_(from_earlier)
        earlier[:, 0].zero_()
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        own, later, earlier = (part.permute(0, 1, 4, 2, 3) for part in grad.chunk(3, dim=-1))
        batch, frames, *size = own.shape
        of_aligned = grad.new_empty((2, batch, frames - 1, *size))
        of_aligned[0].copy_(later[:, :-1])
        of_aligned[1].copy_(earlier[:, 1:])
        return own, of_aligned.flatten(0, 2)
