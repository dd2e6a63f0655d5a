"""The reference of the sum, written for readability; all other backends are tested against it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vrtspike.ops.chunks import joined
from vrtspike.ops.rows import Order, scatter


def reference(x: Tensor, chunks: Sequence[Tensor], order: Order, scale: float) -> Tensor:
    """Scatter the rows, and add them to ``x`` (N, C)."""
    return torch.add(x, scatter(joined(chunks), order), alpha=scale)
