"""The reference of the sum, written for readability; all other backends are tested against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.chunks import joined
from vrtspike.ops.rows import Order, scatter


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


def reference(
    x: Tensor, chunks: Sequence[Tensor], order: Order | None, scale: float, bias: Tensor | None = None
) -> Tensor:
    """Scatter the rows, and add them and the bias to ``x`` (N, C)."""
    rows = joined(chunks)
    if bias is not None:
        rows = rows + bias.to(rows.dtype)
    return torch.add(x, rows if order is None else scatter(rows, order), alpha=scale)
