"""The reference of deformable convolution, written for readability; all other backends are tested against it.

Shapes: D deformable groups, K = k*k taps, map (N, C, H, W), output (N, C_out, h, w).
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d` from the four pixels around every sample."""
    y_position, x_position = sample_positions(offset, weight.shape[-1], padding)
    n, groups = y_position.shape[:2]
    pixels = x.reshape(n, groups, -1, x.shape[-2], x.shape[-1])
    top, left = y_position.floor(), x_position.floor()
    samples = torch.zeros((), dtype=x.dtype, device=x.device)
    for row, y_weight in ((top, 1 - (y_position - top)), (top + 1, y_position - top)):
        for column, x_weight in ((left, 1 - (x_position - left)), (left + 1, x_position - left)):
            corner = _pixels_at(pixels, row.long(), column.long())
            samples = samples + corner * (y_weight * x_weight)[:, :, None].to(x.dtype)
    return contract(samples, mask, weight, bias)


def sample_positions(offset: Tensor, k: int, padding: int) -> tuple[Tensor, Tensor]:
    """Return the y and x positions (N, D, K, h, w) in pixels at which the taps sample."""
    n, _, h, w = offset.shape
    offset = offset.reshape(n, -1, k * k, 2, h, w)
    if offset.dtype in (torch.float16, torch.bfloat16):  # too coarse for a pixel's coordinate
        offset = offset.float()
    steps = torch.arange(max(h, w) + k, device=offset.device, dtype=offset.dtype) - padding
    tap_y = steps[:k].repeat_interleave(k)[:, None, None]
    tap_x = steps[:k].repeat(k)[:, None, None]
    y = offset[:, :, :, 0] + (steps[:h, None] + padding) + tap_y
    x = offset[:, :, :, 1] + (steps[None, :w] + padding) + tap_x
    return y, x


def _pixels_at(pixels: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Return the pixels (N, D, C/D, K, h, w) of a map (N, D, C/D, H, W) at the given positions, zero outside."""
    height, width = pixels.shape[-2:]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(2)
    values = pixels.flatten(3).gather(3, index[:, :, None].expand(-1, -1, pixels.shape[2], -1))
    return values.unflatten(3, row.shape[2:]) * inside[:, :, None]


def contract(samples: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply mask, kernel and bias to the samples (N, D, C/D, K, h, w) of every output pixel; overwrites the samples."""
    n, deformable_groups, _, taps, h, w = samples.shape
    mask = mask.reshape(n, deformable_groups, 1, taps, h, w).to(samples.dtype)
    columns = samples * mask if torch.is_grad_enabled() else samples.mul_(mask)
    groups = samples.shape[1] * samples.shape[2] // weight.shape[1]
    columns = columns.reshape(n, groups, -1, h * w).to(weight.dtype)
    out = weight.reshape(groups, weight.shape[0] // groups, -1) @ columns
    out = out.reshape(n, -1, h, w)
    return out if bias is None else out + bias[:, None, None]
