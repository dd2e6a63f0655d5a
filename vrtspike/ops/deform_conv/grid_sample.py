"""Deformable convolution with PyTorch's own bilinear sampling: runs on any device, without a compiled extension."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from vrtspike.ops.chunks import works_in_chunks
from vrtspike.ops.deform_conv.reference import contract


def grid_sample(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int
) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d` with one ``grid_sample`` over all taps and deformable groups.

    The samples are nine times as large as the map, so the backward pass recomputes them.
    """
    if torch.is_grad_enabled():
        settings = dict(use_reentrant=False, preserve_rng_state=False)
        return checkpoint(_grid_sample, x, offset, mask, weight, bias, padding, **settings)
    if len(x) == 1 or not works_in_chunks(x):
        return _grid_sample(x, offset, mask, weight, bias, padding)
    each = zip(x.split(1), offset.split(1), mask.split(1), strict=True)
    return torch.cat([_grid_sample(*one, weight, bias, padding) for one in each])


def _grid_sample(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    n, _, h, w = offset.shape
    k = weight.shape[-1]
    offset = offset.reshape(n, -1, k * k, 2, h, w)
    if offset.dtype in (torch.float16, torch.bfloat16):  # too coarse for a pixel's coordinate
        offset = offset.float()
    size = torch.cat([offset.new_full((1,), length) for length in x.shape[-2:]])
    grid = torch.addcmul(_undisplaced(k, h, w, padding, size), offset, (2 / size)[:, None, None])
    # Offsets are (y, x) and positions of grid_sample (x, y). Transposing the map instead costs nothing.
    pixels = x.reshape(n * grid.shape[1], -1, *x.shape[-2:]).to(grid.dtype).transpose(2, 3)
    positions = grid.movedim(3, -1).reshape(n * grid.shape[1], k * k, h * w, 2)
    samples = F.grid_sample(pixels, positions, align_corners=False)
    return contract(samples.reshape(n, grid.shape[1], -1, k * k, h, w), mask, weight, bias)


def _undisplaced(k: int, h: int, w: int, padding: int, size: Tensor) -> Tensor:
    """Return the positions (k*k, 2, h, w), y before x, that the taps of every output pixel have without offsets.

    With ``align_corners=False`` the centre of pixel p is at (2p + 1) / size - 1, which also holds for a size of 1.
    """
    steps = torch.arange(max(h, w) + k, device=size.device, dtype=size.dtype) - padding
    tap = steps[:k, None] + padding
    y = (steps[:h] + tap)[:, None, :, None].expand(k, k, h, w)
    x = (steps[:w] + tap)[None, :, None, :].expand(k, k, h, w)
    return ((2 * torch.stack((y, x), dim=2) + 1) / size[:, None, None] - 1).flatten(0, 1)
