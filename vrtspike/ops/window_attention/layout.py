"""The order of a map's tokens, window by window: one gather in place of a roll along every axis and a partition.

Windows that need the same mask stand side by side, so each kind is a slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from vrtspike.ops.window_attention.windows import Window, partition, window_mask

Mixed = tuple[bool, bool, bool]


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a map (T, H, W) go when it is cut into shifted windows.

    Args:
        order: For every token in window order, its place in the map.
        inverse: For every token of the map, its place in window order.
        blocks: Windows of one kind: the first, one past the last, and the mask (N, N) of each, or None.
    """

    order: Tensor
    inverse: Tensor
    blocks: tuple[tuple[int, int, Tensor | None], ...]


@lru_cache(maxsize=64)
def window_layout(size: Window, window: Window, shift: Window, mutual: bool, device: torch.device) -> Layout:
    """Return the layout of a map of ``size``; without a mask along time where attention is ``mutual``."""
    grid = tuple(s // length for s, length in zip(size, window, strict=True))
    place = torch.arange(size[0] * size[1] * size[2]).view(1, *size, 1)
    place = torch.roll(place, [-s for s in shift], dims=(1, 2, 3))
    windows = partition(place, window).reshape(grid[0] * grid[1] * grid[2], -1)
    kind = _kinds(grid, shift, mutual)
    by_kind = kind.argsort(stable=True)
    order = windows[by_kind].flatten()
    frame = (1, *window[1:]) if mutual else window
    blocks, first = [], 0
    for code, count in zip(*kind.unique(return_counts=True), strict=True):
        mixed = tuple(bool(code >> axis & 1) for axis in range(3))
        mask = window_mask(mixed, frame, shift, device) if any(mixed) else None
        blocks.append((first, first + int(count), mask))
        first += int(count)
    return Layout(order.int().to(device), order.argsort().int().to(device), tuple(blocks))


def _kinds(grid: Window, shift: Window, mutual: bool) -> Tensor:
    """Return for every window which axes hold two regions, bit by bit: those of the last window of a shifted axis."""
    kind = torch.zeros(grid, dtype=torch.long)
    for axis in range(3):
        if shift[axis] and not (mutual and axis == 0):
            kind.select(axis, grid[axis] - 1).add_(1 << axis)
    return kind.flatten()


class _Reorder(torch.autograd.Function):
    """Gather tokens in another order; the gradient is gathered back, where PyTorch's own would scatter-add."""

    @staticmethod
    def forward(ctx, tokens: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return tokens.index_select(1, order)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return _Reorder.apply(grad, inverse, order), None, None


def to_windows(x: Tensor, layout: Layout, tokens: int) -> Tensor:
    """Return the windows (B, windows, tokens, C) of a map (B, T, H, W, C) in the order of ``layout``."""
    return _Reorder.apply(x.flatten(1, 3), layout.order, layout.inverse).unflatten(1, (-1, tokens))


def from_windows(windows: Tensor, layout: Layout, size: Window) -> Tensor:
    """Return the map (B, T, H, W, C) whose windows :func:`to_windows` made."""
    return _Reorder.apply(windows.flatten(1, 2), layout.inverse, layout.order).unflatten(1, size)
