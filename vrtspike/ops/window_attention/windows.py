"""Geometry of windows: relative positions, the regions that a cyclic shift makes neighbours, partition and merge.

Shapes: map (B, T, H, W, C); window (t, h, w) of N = t*h*w tokens; windows per axis (nT, nH, nW).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import NamedTuple

import torch
from torch import Tensor

Window = tuple[int, int, int]

MASKED = -100.0
"""Added to the scores of token pairs from different regions, as the published network does."""


class Settings(NamedTuple):
    """The arguments of every backend besides tensors; see :func:`vrtspike.ops.window_attention`."""

    window: Window
    shift: Window
    heads: int
    mutual: bool
    scale: float

    @property
    def frames(self) -> int:
        """How many groups of a window attend separately: one for each frame in mutual attention, else one."""
        return self.window[0] if self.mutual else 1

    @property
    def group(self) -> Window:
        """The tokens (t, h, w) that attend to each other: a frame in mutual attention, else the window."""
        return self.window[0] // self.frames, *self.window[1:]


def cached(function: Callable[..., Tensor], entries: int = 256) -> Callable[..., Tensor]:
    """Cache the latest tensors that ``function`` makes, except in graphs.

    An exported graph has no values to cache. A compiled graph computes the tensor where it needs it, on its device, and
    a compiler fuses that with what reads it.
    """
    # A training may use a cached tensor later, and it cannot use tensors made in inference mode.
    lookup = lru_cache(maxsize=entries)(torch.inference_mode(False)(function))

    @wraps(function)
    def call(*arguments):
        in_graph = torch.compiler.is_compiling() or torch.compiler.is_exporting()
        return function(*arguments) if in_graph else lookup(*arguments)

    return call


def relative_position_index(window: Window, device: torch.device | None = None) -> Tensor:
    """Return (N, N): the row of the bias table ((2t-1)*(2h-1)*(2w-1)) for each query and key of a window."""
    axes = [torch.arange(length, device=device) for length in window]
    position = torch.stack(torch.meshgrid(*axes, indexing='ij')).flatten(1)  # (3, N)
    offset = position[:, :, None] - position[:, None, :]
    t, h, w = ((offset[axis] + window[axis] - 1) for axis in range(3))
    return (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w


@cached
def index_by_key(window: Window, device: torch.device) -> Tensor:
    """Return (N*N,): the row of the bias table for each key and query, queries last; cached."""
    return relative_position_index(window, device).t().flatten()


def relative_position_bias(table: Tensor, window: Window) -> Tensor:
    """Return the bias (heads, N, N) of a window from its ``table``; in memory, queries are the last axis."""
    n = math.prod(window)
    # By head, so that the result needs no transposition; the gradient of ``index_select`` is faster than an index's.
    by_head = table.t().contiguous().index_select(1, index_by_key(window, table.device))
    return by_head.view(-1, n, n).transpose(1, 2)


def crop_bias_table(table: Tensor, full: Window, window: Window) -> Tensor:
    """Return the rows of ``table``, made for ``full``, whose relative offsets occur in a smaller ``window``."""
    if window == full:
        return table
    lengths = [2 * length - 1 for length in full]
    keep = [slice(f - length, f + length - 1) for f, length in zip(full, window, strict=True)]
    return table.view(*lengths, -1)[tuple(keep)].flatten(0, 2)


def axis_regions(size: int, length: int, shift: int, device: torch.device | str = 'cpu') -> Tensor:
    """Return (size / length, length): the region of every token along one axis of the shifted map.

    Only the last window has two regions: the cyclic shift moves ``shift`` tokens from the opposite border of the map to
    its end, and they are not neighbours of its first tokens.
    """
    token = torch.arange(size, device=device)
    return (token >= size - shift).long().view(-1, length)


def window_regions(
    mixed: tuple[bool, bool, bool], window: Window, shift: Window, device: torch.device | str = 'cpu'
) -> Tensor:
    """Return (N,): the region of every token of a window with two regions along the axes that are ``mixed``."""
    regions = [
        axis_regions(length, length, s if two else 0, device)
        for length, s, two in zip(window, shift, mixed, strict=True)
    ]
    t, h, w = (region.view(shape) for region, shape in zip(regions, ((-1, 1, 1), (-1, 1), (-1,)), strict=True))
    return (4 * t + 2 * h + w).flatten()


@cached
def window_mask(mixed: tuple[bool, bool, bool], window: Window, shift: Window, device: torch.device) -> Tensor:
    """Return the mask (N, N) of a window: 0 within a region, :data:`MASKED` across."""
    label = window_regions(mixed, window, shift, device)
    return (label[:, None] != label[None, :]) * MASKED


def partition(x: Tensor, window: Window) -> Tensor:
    """Return the windows (B, nT, nH, nW, t, h, w, C) of a map, as a view."""
    b, _, _, _, c = x.shape
    t, h, w = window
    split = x.view(b, x.shape[1] // t, t, x.shape[2] // h, h, x.shape[3] // w, w, c)
    return split.permute(0, 1, 3, 5, 2, 4, 6, 7)


def merge(windows: Tensor) -> Tensor:
    """Return the map (B, T, H, W, C) of windows (B, nT, nH, nW, t, h, w, C)."""
    b, n_t, n_h, n_w, t, h, w, c = windows.shape
    return windows.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, n_t * t, n_h * h, n_w * w, c)
