"""Padding: repeated borders or zeros, at the end of an axis unless a function says otherwise."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from vrtspike.ops.padding import is_whole, next_multiple


def repeat_border(maps: Tensor, height: int, width: int) -> Tensor:
    """Return maps (N, C, H, W) or (B, T, C, H, W) with the border repeated below and to the right, to the given size.

    Maps of that size are returned as they are.
    """
    missing = height - maps.shape[-2], width - maps.shape[-1]
    if is_whole(missing):
        return maps
    padded = F.pad(maps.flatten(0, -4), (0, missing[1], 0, missing[0]), mode='replicate')
    return padded.unflatten(0, maps.shape[:-3])


def pad_to_multiple(maps: Tensor, divisor: int) -> Tensor:
    """Return maps padded by :func:`repeat_border` to the next height and width that are multiples of ``divisor``."""
    return repeat_border(maps, *(next_multiple(length, divisor) for length in maps.shape[-2:]))


def pad_frames(x: Tensor, before: int = 0, after: int = 0) -> Tensor:
    """Return (B, T, C, H, W) with frames of zeros added at the clip's beginning and end."""
    return F.pad(x, (0, 0, 0, 0, 0, 0, before, after)) if before or after else x
