"""Sampling maps along optical flow.

Shapes: map (N, C, H, W), flow (N, 2, H, W) in pixels, x first, then y.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(x: Tensor, flow: Tensor, padding_mode: str = 'zeros') -> Tensor:
    """Return ``x`` sampled bilinearly at every pixel plus its flow.

    Positions are computed in the flow's precision, and in float32 where that is half: 16 bits do not tell
    neighbouring pixels of a large map apart.

    Args:
        x: Map (N, C, H, W).
        flow: (N, 2, H, W) in pixels.
        padding_mode: 'zeros' or 'border' outside the map.
    """
    height, width = x.shape[-2:]
    x_position, y_position = _positions(flow)
    # With align_corners=False the centre of pixel p is at (2p + 1) / size - 1, which also holds for a size of 1.
    grid = torch.stack(((2 * x_position + 1) / width - 1, (2 * y_position + 1) / height - 1), dim=-1)
    out = F.grid_sample(x.to(grid.dtype), grid, padding_mode=padding_mode, align_corners=False)
    return out.to(x.dtype)


def warp_to_corners(x: Tensor, flow: Tensor) -> Tensor:
    """Return the four pixels (N, 4*C, H, W) around every pixel plus its flow, zero outside.

    The corners come in the order (floor x, floor y), (floor x, ceil y), (ceil x, floor y), (ceil x, ceil y).
    """
    height, width = x.shape[-2:]
    x_position, y_position = _positions(flow)
    pixels = x.flatten(2)
    corners = []
    for column in (x_position.floor().long(), x_position.ceil().long()):
        for row in (y_position.floor().long(), y_position.ceil().long()):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
            values = pixels.gather(2, index[:, None].expand(-1, x.shape[1], -1)).view_as(x)
            corners.append(values * inside[:, None])
    return torch.cat(corners, dim=1)


def _positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the x and y (N, H, W) that the flow points to."""
    if flow.dtype in (torch.float16, torch.bfloat16):
        flow = flow.float()
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return flow[:, 0] + x, flow[:, 1] + y[:, None]
