"""The reference of offsets and masks, written for readability; all other backends are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor


def reference(predicted: Tensor, flows: Tensor, max_residue: float) -> tuple[Tensor, Tensor]:
    """Compute :func:`vrtspike.ops.flow_offsets` with PyTorch's operators, which save ``tanh(residue)``."""
    taps = predicted.shape[1] // 3
    residue, mask = predicted.split((2 * taps, taps), dim=1)  # its gradient is one copy, that of slices are three
    per_neighbour = torch.tanh(residue).unflatten(1, (flows.shape[1] // 2, -1, 2))
    flow = flows.to(offset_type(predicted)).unflatten(1, (-1, 1, 2)).flip(3)  # a flow is (x, y), an offset is (y, x)
    return torch.add(flow, per_neighbour, alpha=max_residue).flatten(1, 3), mask.sigmoid()


def offset_type(predicted: Tensor) -> torch.dtype:
    """Return the type of the offsets: 16 bits are too coarse for a position in a map."""
    return torch.float64 if predicted.dtype is torch.float64 else torch.float32
