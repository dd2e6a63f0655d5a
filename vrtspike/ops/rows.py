"""The tokens of a map as rows, in another order, with rows of zeros between them."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F


class Order(NamedTuple):
    """An order of N rows, with M - N rows of zeros between them."""

    sources: Tensor
    """(M,) int32: for every row of the result the row that it is, or N for zeros."""
    positions: Tensor
    """(N,) int32: for every row its position in the result."""


def gather(rows: Tensor, order: Order) -> Tensor:
    """Return (M, C): rows (N, C) in the order, and zeros."""
    return _Take.apply(rows, order.sources, order.positions)


def scatter(rows: Tensor, order: Order) -> Tensor:
    """Return (N, C): what :func:`gather` has made (M, C) of."""
    return _Take.apply(rows, order.positions, order.sources)


class _Take(Function):
    """The rows with an index. Its gradient is also a gather, which is faster than the scatter of ``index_select``.

    It saves no tensor, so activation checkpointing does not come here again where nothing after it is saved.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.indices = inverse, index
        padded = F.pad(rows, (0, 0, 0, 1)) if len(index) > len(rows) else rows
        return padded.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Take.apply(grad, *ctx.indices), None, None
