"""The reference of the sum, written for readability; all other backends are tested against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.chunks import joined
from vrtspike.ops.rows import Order, scatter


class Addend(NamedTuple):
    """Rows that are added to a map of N tokens and are stored in another order, as the results of windows are."""

    chunks: Sequence[Tensor]
    """The rows (M, C) in their order, in one or more pieces."""
    order: Order | None = None
    """Of the N tokens among the M rows; None if the rows are in the order of the map."""
    scale: float = 1.0
    """Factor on the rows and the bias."""
    bias: Tensor | None = None
    """(C,), of the layer that made the rows. The pass that scales the gradient sums its gradient too."""


class Norm(NamedTuple):
    """A layer normalisation of the sum."""

    weight: Tensor
    """(C,)."""
    bias: Tensor
    """(C,)."""
    eps: float
    """Added to the variance."""
    dtype: torch.dtype
    """Of its result."""


def reference(x: Tensor, addend: Addend) -> Tensor:
    """Scatter the rows, and add them and the bias to ``x`` (N, C)."""
    rows = joined(addend.chunks)
    if addend.bias is not None:
        rows = rows + addend.bias.to(rows.dtype)
    return torch.add(x, rows if addend.order is None else scatter(rows, addend.order), alpha=addend.scale)
