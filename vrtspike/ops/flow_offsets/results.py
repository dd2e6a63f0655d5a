"""What the backends with kernels of our own share: memory for their results, and what the backward pass needs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def new_results(predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Return memory for the offsets (N, 2*taps, H, W) in float32 and the masks (N, taps, H, W)."""
    n, channels, *size = predicted.shape
    taps = channels // 3
    return predicted.new_empty((n, 2 * taps, *size), dtype=torch.float32), predicted.new_empty((n, taps, *size))


def new_predictions(mask: Tensor) -> Tensor:
    """Return memory for predictions (N, 3*taps, H, W) of the type of the masks."""
    n, taps, *size = mask.shape
    return mask.new_empty((n, 3 * taps, *size))


def save_results(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: tuple[Tensor, Tensor]) -> None:
    """Save the offsets, masks and flows: deformable convolution saves the first two anyway."""
    _, flows, ctx.max_residue = inputs
    ctx.save_for_backward(*output, flows)
