"""Two maps that are the halves of one: a layer computes both by one product, and their gradients are one map too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def halves(both: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and the second half of the channels of a map (..., 2*C), as views.

    Their gradients are joined without a copy if they are halves of a map themselves.
    """
    return _Halves.apply(both)


def whole_of(first: Tensor, second: Tensor) -> Tensor | None:
    """Return the map (..., 2*C) whose halves two maps (..., N, C) are, as a view; None if they are not."""
    width, offset = first.shape[-1], first.storage_offset()
    alike = (first.shape, first.stride(), first.dtype) == (second.shape, second.stride(), second.dtype)
    shared = first.untyped_storage()._cdata == second.untyped_storage()._cdata
    follows = second.storage_offset() == offset + width and first.stride()[-2:] == (2 * width, 1)
    if not (alike and shared and follows):
        return None
    return first.as_strided((*first.shape[:-1], 2 * width), first.stride(), offset)


def empty_like_both(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps like two others without values; halves of one map if the others are."""
    both = whole_of(first, second)
    if both is None:
        return empty_like_each(first, second)
    return both.new_empty(both.shape).chunk(2, dim=-1)


def empty_like_each(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return maps of the sizes of two others without values, contiguous."""
    return tuple(torch.empty_like(each, memory_format=torch.contiguous_format) for each in (first, second))


class _Halves(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> tuple[Tensor, Tensor]:
        return both.chunk(2, dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        both = whole_of(first, second)
        return torch.cat((first, second), dim=-1) if both is None else both
