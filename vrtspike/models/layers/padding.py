"""Padding: repeated borders or zeros, at the end of an axis unless a function says otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import SymInt, Tensor
from torch.nn import functional as F


def next_multiple(length: int, divisor: int) -> int:
    """Return the smallest multiple of ``divisor`` that is at least ``length``.

    >>> next_multiple(17, 8)
    24
    """
    # ONNX rounds quotients towards zero, so -(-length // divisor) would give another result there.
    return (length + divisor - 1) // divisor * divisor


def is_whole(missing: Sequence[int | SymInt]) -> bool:
    """Return whether no padding is missing. In a graph for any size this is unknown, so such a graph always pads."""
    return all(isinstance(length, int) and not length for length in missing)


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


def pad_to_windows(x: Tensor, window: Sequence[int], first_axis: int = 1) -> Tensor:
    """Return a map with zeros appended, so that it consists of whole windows.

    Args:
        x: A map, by default (B, T, H, W, C).
        window: Length of the windows along ``first_axis`` and the axes after it.
        first_axis: The first axis that is padded.
    """
    missing = [0] * x.ndim
    for axis, length in enumerate(window, start=first_axis):
        missing[axis] = next_multiple(x.shape[axis], length) - x.shape[axis]
    if is_whole(missing):
        return x
    return F.pad(x, [side for length in reversed(missing) for side in (0, length)])


def pad_frames(x: Tensor, before: int = 0, after: int = 0) -> Tensor:
    """Return (B, T, C, H, W) with frames of zeros added at the clip's beginning and end."""
    return F.pad(x, (0, 0, 0, 0, 0, 0, before, after)) if before or after else x
