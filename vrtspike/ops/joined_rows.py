"""Two weights as one, so that one product computes two layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def joined_rows(first: Tensor, second: Tensor) -> Tensor:
    """Return the rows (N, C) and (M, C) of two weights as one (N+M, C).

    Nothing is copied if the second lies right behind the first in memory, as in the buffer of
    :func:`~vrtspike.models.layers.cast_weights.cast_together`.
    """
    return _JoinedRows.apply(first, second) if follows(first, second) else torch.cat((first, second))


def follows(first: Tensor, second: Tensor) -> bool:
    """Return whether two contiguous weights are the parts of one in memory."""
    alike = first.dtype == second.dtype and first.shape[1:] == second.shape[1:]
    whole = first.is_contiguous() and second.is_contiguous()
    shared = first.untyped_storage()._cdata == second.untyped_storage()._cdata
    return alike and whole and shared and second.storage_offset() == first.storage_offset() + first.numel()


class _JoinedRows(Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.sizes = len(first), len(second)
        return first.as_strided((sum(ctx.sizes), *first.shape[1:]), first.stride()).detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad.split(ctx.sizes)
