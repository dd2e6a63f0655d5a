"""The reference of layer normalisation, written for readability; all other backends are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.ops.rows import Order, gather


def reference(x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, order: Order | None) -> Tensor:
    """Normalise rows (N, C), and gather them."""
    rows = F.layer_norm(x, x.shape[1:], weight, bias, eps).to(dtype)
    return rows if order is None else gather(rows, order)
