"""Layer normalisation on GPUs with Triton: one pass over the rows, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.row_blocks import RowBlock, row_block
from vrtspike.ops.rows import Order
from vrtspike.ops.triton_support import in_triton

NUMBERS, WARPS = 2048, 4
"""Numbers of a block: sixteen a thread."""
PROGRAMS = 512
"""Programs of the backward pass at most; each sums the gradients of weight and bias over a share of the rows."""


def on_gpu(x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, order: Order | None) -> Tensor:
    """Normalise rows (N, C); only they are saved for the backward pass."""
    sources, positions = order or (None, None)
    return _values(x.contiguous(), weight.float(), bias.float(), eps, dtype, sources, positions)


def on_gpu_beside(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, order: Order | None
) -> tuple[Tensor, Tensor]:
    """Return the rows themselves, and normalised as by :func:`on_gpu`; one kernel adds the gradients of both."""
    sources, positions = order or (None, None)
    return _Beside.apply(x.contiguous(), weight.float(), bias.float(), eps, dtype, sources, positions)


@torch.library.custom_op('vrtspike::triton_layer_norm', mutates_args=())
def _values(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    dtype: torch.dtype,
    sources: Tensor | None,
    positions: Tensor | None,
) -> Tensor:
    """Return rows (M, C) of ``dtype``, in the :class:`~vrtspike.ops.rows.Order` of ``sources`` and ``positions``."""
    from vrtspike.ops.layer_norm import triton_kernels as kernels

    out = _results(x, dtype, sources)
    if len(out):
        block = _block(x)
        programs, arguments = -(-len(out) // block.R), (x, weight, bias, sources, out, len(x), len(out), eps)
        kernels.norm_kernel[(programs,)](*arguments, S=in_triton(block), num_warps=WARPS)
    return out


@_values.register_fake
def _(x, weight, bias, eps, dtype, sources, positions):
    return _results(x, dtype, sources)


@torch.library.custom_op('vrtspike::triton_layer_norm_backward', mutates_args=())
def gradients(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float, positions: Tensor | None, beside: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the gradient of ``x`` plus ``beside``, and partial sums (programs, 2, C) of those of weight and bias."""
    from vrtspike.ops.layer_norm import triton_kernels as kernels

    grad_x, partial = torch.empty_like(x), _partial(x)
    if programs := len(partial):
        arguments = grad, x, weight, positions, beside, grad_x, partial, len(x), programs, eps
        kernels.norm_backward_kernel[(programs,)](*arguments, S=in_triton(_block(x)), num_warps=WARPS)
    return grad_x, partial


@gradients.register_fake
def _(grad, x, weight, eps, positions, beside):
    return torch.empty_like(x), _partial(x)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, weight, _, ctx.eps, _, _, positions = inputs
    ctx.save_for_backward(x, weight, positions)


def _backward(ctx: Any, grad: Tensor, beside: Tensor | None = None) -> tuple[Tensor | None, ...]:
    x, weight, positions = ctx.saved_tensors
    beside = None if beside is None else beside.contiguous()
    grad_x, partial = gradients(grad.contiguous(), x, weight, ctx.eps, positions, beside)
    return grad_x, *partial.sum(0).unbind(), *(None,) * 4


_values.register_autograd(_backward, setup_context=_save)


class _Beside(torch.autograd.Function):
    """The rows, and normalised rows."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        out = _values(*inputs)
        _save(ctx, inputs, out)
        return inputs[0].view_as(inputs[0]), out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, beside: Tensor | None, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return beside, *(None,) * 6
        return _backward(ctx, grad, beside)


def _results(x: Tensor, dtype: torch.dtype, sources: Tensor | None) -> Tensor:
    return x.new_empty((len(x) if sources is None else len(sources), x.shape[1]), dtype=dtype)


def _partial(x: Tensor) -> Tensor:
    programs = min(PROGRAMS, -(-len(x) // _block(x).R))
    return x.new_empty((programs, 2, x.shape[1]), dtype=torch.float32)


def _block(x: Tensor) -> RowBlock:
    return row_block(x.shape[1], NUMBERS)
