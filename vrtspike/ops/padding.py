"""Sizes in whole windows, and zeros that fill a map up to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import SymInt, Tensor
from torch.autograd import Function
from torch.nn import functional as F

from vrtspike.runtime.device import fuses_by_hand


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


def without_padding(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return a map (B, T, H, W, C) without the zeros that filled its windows, as a view.

    On GPUs one pass makes its gradient; PyTorch's own takes one for every axis.

    Args:
        x: The map.
        size: (T, H, W) of the result.
    """
    t, h, w = size
    if not fuses_by_hand(x):
        return x[:, :t, :h, :w]
    return x if tuple(x.shape[1:4]) == tuple(size) else _WithoutPadding.apply(x, t, h, w)


class _WithoutPadding(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, t: int, h: int, w: int) -> Tensor:
        ctx.missing = [length - kept for length, kept in zip(x.shape[1:4], (t, h, w), strict=True)]
        return x[:, :t, :h, :w]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        t, h, w = ctx.missing
        return F.pad(grad, (0, 0, 0, w, 0, h, 0, t)), None, None, None
