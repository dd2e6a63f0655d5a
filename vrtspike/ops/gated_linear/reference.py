"""The reference of the gated linear layer, written for readability; all other backends are tested against it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def reference(
    x: Tensor,
    gate: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    input_biases: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Compute ``linear(gelu(x) * gate)`` of maps (..., C) with PyTorch's operators, which save five maps."""
    if input_biases is not None:
        x, gate = plus_biases(x, gate, input_biases)
    return F.linear(F.gelu(x) * gate, weight, bias)


def plus_biases(x: Tensor, gate: Tensor, biases: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return both maps plus their biases (C,), in their own type."""
    return x + biases[0].to(x.dtype), gate + biases[1].to(gate.dtype)
