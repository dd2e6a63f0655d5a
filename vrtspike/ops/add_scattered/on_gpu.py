"""The sum on GPUs with Triton: one pass over map and rows, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.add_scattered.reference import Addend, Norm
from vrtspike.ops.chunks import joined
from vrtspike.ops.layer_norm.on_gpu import gradients as norm_gradients
from vrtspike.ops.row_blocks import row_block
from vrtspike.ops.rows import Order

NUMBERS, WARPS = 1024, 4
"""Numbers of a block: eight a thread."""
PROGRAMS = 1024
"""Programs of the backward pass at most, if it sums the gradient of the bias."""


def on_gpu(x: Tensor, addend: Addend) -> Tensor:
    """Compute :func:`vrtspike.ops.add_scattered` of rows in float32."""
    return _AddScattered.apply(*_prepared(x, addend.chunks), addend.bias, addend.order, addend.scale)


def on_gpu_normed(x: Tensor, addend: Addend, norm: Norm) -> tuple[Tensor, Tensor]:
    """Return the sum, and its normalised rows."""
    weight, shift = norm.weight.float(), norm.bias.float()
    rows = _prepared(x, addend.chunks)
    return _AddNormed.apply(*rows, addend.bias, weight, shift, addend.order, addend.scale, norm)


def _prepared(x: Tensor, chunks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the map and all rows, contiguous; the map in the larger type of both."""
    rows = joined(chunks).contiguous()
    return x.to(torch.promote_types(x.dtype, rows.dtype)).contiguous(), rows


class _AddScattered(torch.autograd.Function):
    """The sum, which saves no tensor: activation checkpointing stops before it when it computes a block again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, bias: Tensor | None, order: Order | None, scale: float) -> Tensor:
        sources, positions = order or (None, None)
        ctx.settings = sources, scale, rows.dtype, bias is not None
        ctx.bias_dtype = None if bias is None else bias.dtype
        return _added(x, rows, positions, bias, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, partial = _gathered(grad.contiguous(), *ctx.settings)
        return grad, rows, None if ctx.bias_dtype is None else partial.sum(0).to(ctx.bias_dtype), None, None


class _AddNormed(torch.autograd.Function):
    """The sum and its normalised rows; the sum is saved."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        rows: Tensor,
        bias: Tensor | None,
        weight: Tensor,
        shift: Tensor,
        order: Order | None,
        scale: float,
        norm: Norm,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        sources, positions = order or (None, None)
        ctx.settings = sources, scale, rows.dtype, bias is not None
        ctx.bias_dtype, ctx.eps = None if bias is None else bias.dtype, norm.eps
        out, normed = _added_normed(x, rows, positions, bias, weight, shift, scale, norm.eps, norm.dtype)
        ctx.save_for_backward(out, weight)
        return out, normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, beside: Tensor | None, of_normed: Tensor | None) -> tuple[Tensor | None, ...]:
        out, weight = ctx.saved_tensors
        grad, of_norm = beside, (None, None)
        if of_normed is not None:
            beside = None if beside is None else beside.contiguous()
            grad, partial = norm_gradients(of_normed.contiguous(), out, weight, ctx.eps, None, beside)
            of_norm = partial.sum(0).unbind()
        rows, partial = _gathered(grad.contiguous(), *ctx.settings)
        of_bias = None if ctx.bias_dtype is None else partial.sum(0).to(ctx.bias_dtype)
        return grad, rows, of_bias, *of_norm, None, None, None


@torch.library.custom_op('vrtspike::triton_add_scattered_normed', mutates_args=())
def _added_normed(
    x: Tensor,
    rows: Tensor,
    positions: Tensor | None,
    bias: Tensor | None,
    weight: Tensor,
    shift: Tensor,
    scale: float,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """Return the sum (N, C), of the type of ``x``, and its normalised rows of ``dtype``."""
    from vrtspike.ops.add_scattered import triton_kernels as kernels

    out, normed = torch.empty_like(x), torch.empty_like(x, dtype=dtype)
    if programs := _programs(out):
        tensors = x, rows, positions, bias, weight, shift, out, normed
        _launch(kernels.add_norm_kernel, programs, (*tensors, len(x), scale, eps))
    return out, normed


@_added_normed.register_fake
def _(x, rows, positions, bias, weight, shift, scale, eps, dtype):
    return torch.empty_like(x), torch.empty_like(x, dtype=dtype)


@torch.library.custom_op('vrtspike::triton_add_scattered', mutates_args=())
def _added(x: Tensor, rows: Tensor, positions: Tensor | None, bias: Tensor | None, scale: float) -> Tensor:
    """Return the sum (N, C) of contiguous tensors, of the type of ``x``."""
    from vrtspike.ops.add_scattered import triton_kernels as kernels

    out = torch.empty_like(x)
    if programs := _programs(out):
        _launch(kernels.add_kernel, programs, (x, rows, positions, bias, out, len(x), scale))
    return out


@_added.register_fake
def _(x, rows, positions, bias, scale):
    return torch.empty_like(x)


@torch.library.custom_op('vrtspike::triton_gather_scaled', mutates_args=())
def _gathered(
    grad: Tensor, sources: Tensor | None, scale: float, dtype: torch.dtype, sums: bool
) -> tuple[Tensor, Tensor]:
    """Return rows (M, C) of ``dtype`` of a contiguous gradient (N, C), and partial sums of them, if wanted."""
    from vrtspike.ops.add_scattered import triton_kernels as kernels

    rows, partial = _gradients(grad, sources, dtype, sums)
    if programs := len(partial) if sums else _programs(rows):
        tensors = grad, sources, rows, partial if sums else None
        _launch(kernels.gather_kernel, programs, (*tensors, len(rows), programs, len(grad), scale))
    return rows, partial


@_gathered.register_fake
def _(grad, sources, scale, dtype, sums):
    return _gradients(grad, sources, dtype, sums)


def _gradients(grad: Tensor, sources: Tensor | None, dtype: torch.dtype, sums: bool) -> tuple[Tensor, Tensor]:
    """Return empty tensors for the gradient of rows, and for partial sums (programs, C) of that of the bias."""
    rows = grad.new_empty((len(grad if sources is None else sources), grad.shape[1]), dtype=dtype)
    programs = min(PROGRAMS, _programs(rows)) if sums else 0
    return rows, grad.new_empty((programs, grad.shape[1]), dtype=torch.float32)


def _programs(rows: Tensor) -> int:
    """Return in how many blocks rows (M, C) are computed."""
    return -(-len(rows) // row_block(rows.shape[1], NUMBERS).R)


def _launch(kernel: Any, programs: int, arguments: tuple) -> None:
    block = row_block(arguments[0].shape[1], NUMBERS)
    kernel[(programs,)](*arguments, **block._asdict(), num_warps=WARPS)
