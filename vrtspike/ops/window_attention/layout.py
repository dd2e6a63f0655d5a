"""The order in which a map's windows are stored: windows with the same mask are neighbours, so each kind is a slice.

Shapes: map (B, T, H, W, C); windows (M, N, C), M windows of all clips, N = t*h*w tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.padding import pad_to_windows
from vrtspike.ops.rows import Order, gather, scatter
from vrtspike.ops.window_attention.windows import Window, cached, merge, partition


class WindowKind(NamedTuple):
    """Neighbouring windows that share a mask."""

    mixed: tuple[bool, bool, bool]
    """The axes (t, h, w) along which these windows have two regions."""
    count: int


@dataclass(frozen=True)
class WindowLayout:
    """Gathers the tokens of a map into windows, and back.

    Args:
        size: (B, T, H, W) of the map, in whole windows.
        window: Window (t, h, w) in tokens.
        shift: Cyclic shift (t, h, w) in tokens.
    """

    size: tuple[int, int, int, int]
    window: Window
    shift: Window

    def kinds(self) -> list[WindowKind]:
        """Return the kinds of windows in their order.

        Only the last window of a shifted axis has two regions, so there are at most eight kinds.
        """
        t, h, w = (
            [(False, count - 1), (True, 1)] if shift else [(False, count)]
            for count, shift in zip(self.grid, self.shift, strict=True)
        )
        return [
            WindowKind((mixed_t, mixed_h, mixed_w), self.size[0] * n_t * n_h * n_w)
            for (mixed_h, n_h), (mixed_w, n_w), (mixed_t, n_t) in product(h, w, t)
            if n_t * n_h * n_w
        ]

    @property
    def grid(self) -> tuple[int, ...]:
        """Windows along T, H and W."""
        return tuple(size // length for size, length in zip(self.size[1:], self.window, strict=True))

    def to_windows(self, x: Tensor) -> Tensor:
        """Return the windows (M, N, C) of a map (B, T, H, W, C)."""
        if not any(self.shift):
            rows = partition(x, self.window)
        elif torch.compiler.is_compiling():
            rows = torch.cat([part.flatten(0, 6) for part in self.parts(x)])
        else:
            rows = gather(x.flatten(0, 3), token_order(self, self.size, x.device))
        return rows.reshape(-1, math.prod(self.window), x.shape[-1])

    def to_map(self, windows: Tensor) -> Tensor:
        """Return the map (B, T, H, W, C) of windows (M, N, C)."""
        if not any(self.shift):
            return merge(windows.reshape(self.size[0], *self.grid, *self.window, -1))
        if torch.compiler.is_compiling():
            return self.joined(windows)
        return scatter(windows.flatten(0, 1), token_order(self, self.size, windows.device)).view(*self.size, -1)

    def parts(self, x: Tensor) -> list[Tensor]:
        """Return the windows (B, nT, nH, nW, t, h, w, C) of every kind, as views of the shifted map (B, T, H, W, C).

        Compiled graphs copy these views, because a compiler fuses the copy with what comes before or after it. An index
        would have to be made outside of the graph, for each size of the map.
        """
        parts = [partition(x.roll([-s for s in self.shift], dims=(1, 2, 3)), self.window)]
        for axis in self.split_axes:
            parts = [half for part in parts for half in part.tensor_split([part.shape[axis] - 1], dim=axis)]
        return parts

    def joined(self, windows: Tensor) -> Tensor:
        """Return the map of windows (M, N, C): the inverse of :meth:`parts`."""
        grids = [list(self.grid)]
        for axis in self.split_axes:
            grids = [half for grid in grids for half in _halves(grid, axis - 1)]
        rows = windows.split([self.size[0] * math.prod(grid) for grid in grids])
        shape = (*self.window, windows.shape[-1])
        parts = [each.reshape(self.size[0], *grid, *shape) for each, grid in zip(rows, grids, strict=True)]
        for axis in reversed(self.split_axes):
            parts = [torch.cat(parts[i : i + 2], dim=axis) for i in range(0, len(parts), 2)]
        return merge(parts[0]).roll(self.shift, dims=(1, 2, 3))

    @property
    def split_axes(self) -> list[int]:
        """The axes of a grid of windows (B, nT, nH, nW, ...) along which only the last window has two regions."""
        return [axis for axis in (2, 3, 1) if self.shift[axis - 1]]  # neighbours in order may differ in time only


def split_kinds(kinds: Sequence[WindowKind], windows: int) -> Iterator[list[WindowKind]]:
    """Split a sequence of windows into chunks of ``windows`` (the last may be smaller); yield the kinds of each."""
    chunk: list[WindowKind] = []
    room = windows
    for mixed, count in kinds:
        while count:
            taken = min(count, room)
            chunk.append(WindowKind(mixed, taken))
            count, room = count - taken, room - taken
            if not room:
                yield chunk
                chunk, room = [], windows
    if chunk:
        yield chunk


def _halves(grid: list[int], axis: int) -> tuple[list[int], list[int]]:
    """Return the grids of windows before the last one along an axis, and of the last one."""
    return [*grid[:axis], grid[axis] - 1, *grid[axis + 1 :]], [*grid[:axis], 1, *grid[axis + 1 :]]


@partial(cached, entries=64)  # each is as large as a map; a network needs up to eighteen for a number of clips
def token_order(layout: WindowLayout, size: tuple[int, int, int, int], device: torch.device) -> Order:
    """Return the order in which windows store the tokens of a map of ``size`` (B, T, H, W); zeros fill them."""
    parts = layout.parts(pad_to_windows(_numbers(size, device), layout.window))
    return _order_of(torch.cat([part.flatten() for part in parts]), math.prod(size))


@partial(cached, entries=32)
def padded_order(size: tuple[int, int, int, int], window: Window, device: torch.device) -> Order:
    """Return the order of a map of ``size`` (B, T, H, W) in itself, with zeros that fill its last windows."""
    return _order_of(pad_to_windows(_numbers(size, device), window).flatten(), math.prod(size))


def _numbers(size: tuple[int, int, int, int], device: torch.device) -> Tensor:
    """Return a map (B, T, H, W, 1) of the tokens' numbers, from 1 on: zeros pad."""
    return torch.arange(1, math.prod(size) + 1, device=device).view(*size, 1)


def _order_of(numbers: Tensor, count: int) -> Order:
    """Return the order in which the tokens have been numbered from 1 to ``count``, with zeros between them."""
    sources = torch.where(numbers > 0, numbers - 1, count)
    return Order(sources.int(), sources.argsort()[:count].int())
