"""The sum on GPUs with Triton: one pass over map and rows, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.chunks import joined
from vrtspike.ops.rows import Order

NUMBERS, WARPS = 2048, 4
"""Numbers of a block: sixteen a thread."""


def on_gpu(x: Tensor, chunks: Sequence[Tensor], order: Order, scale: float) -> Tensor:
    """Compute :func:`vrtspike.ops.add_scattered` of rows in float32."""
    rows = joined(chunks).contiguous()
    x = x.to(torch.promote_types(x.dtype, rows.dtype)).contiguous()
    return _AddScattered.apply(x, rows, order, scale)


class _AddScattered(torch.autograd.Function):
    """The sum, which saves no tensor: activation checkpointing stops before it when it computes a block again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, order: Order, scale: float) -> Tensor:
        ctx.settings = order.sources, scale, rows.dtype
        return _added(x, rows, order.places, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return grad, _gathered(grad.contiguous(), *ctx.settings), None, None


@torch.library.custom_op('vrtspike::triton_add_scattered', mutates_args=())
def _added(x: Tensor, rows: Tensor, places: Tensor, scale: float) -> Tensor:
    """Return the sum (N, C) of contiguous tensors, of the type of ``x``."""
    from vrtspike.ops.add_scattered import triton_kernels as kernels

    out = torch.empty_like(x)
    _launch(kernels.add_kernel, len(x), (x, rows, places, out), (scale,))
    return out


@_added.register_fake
def _(x, rows, places, scale):
    return torch.empty_like(x)


@torch.library.custom_op('vrtspike::triton_gather_scaled', mutates_args=())
def _gathered(grad: Tensor, sources: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Return rows (M, C) of ``dtype`` of a contiguous gradient (N, C)."""
    from vrtspike.ops.add_scattered import triton_kernels as kernels

    rows = grad.new_empty((len(sources), grad.shape[1]), dtype=dtype)
    _launch(kernels.gather_kernel, len(rows), (grad, sources, rows), (len(grad), scale))
    return rows


@_gathered.register_fake
def _(grad, sources, scale, dtype):
    return grad.new_empty((len(sources), grad.shape[1]), dtype=dtype)


def _launch(kernel: Any, count: int, tensors: tuple[Tensor, ...], numbers: tuple[float, ...]) -> None:
    """Launch a kernel for ``count`` rows of as many channels as the first tensor has."""
    channels = tensors[0].shape[1]
    padded = 1 << max(channels - 1, 1).bit_length()
    rows = max(1, NUMBERS // padded)
    if count:
        kernel[(-(-count // rows),)](*tensors, count, *numbers, C=channels, BC=padded, R=rows, num_warps=WARPS)
