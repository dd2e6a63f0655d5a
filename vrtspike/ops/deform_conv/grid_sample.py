"""Deformable convolution by PyTorch's own bilinear sampling: needs no compiled extension, runs on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.ops.deform_conv.reference import contract, sample_positions


def grid_sample(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int
) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d` with one ``grid_sample`` over all taps and deformable groups."""
    height, width = x.shape[-2:]
    y_position, x_position = sample_positions(offset, weight.shape[-1], padding)
    n, groups, taps, h, w = y_position.shape
    # With align_corners=False the centre of pixel p is at (2p + 1) / size - 1, which also holds for a size of 1.
    grid = torch.stack(((2 * x_position + 1) / width - 1, (2 * y_position + 1) / height - 1), dim=-1)
    pixels = x.reshape(n * groups, -1, height, width).to(grid.dtype)
    samples = F.grid_sample(pixels, grid.reshape(n * groups, taps * h, w, 2), align_corners=False)
    return contract(samples.reshape(n, groups, -1, taps, h, w), mask, weight, bias)
