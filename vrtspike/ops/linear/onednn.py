"""The linear layer on CPUs by oneDNN, which adds the bias and the residual while it writes the product.

PyTorch's own linear layer writes the bias first and lets the product add to it. In float32 it multiplies by MKL, which
does not use AVX-512 on AMD's processors. ``docs/speed.md`` has the time of all products of a network before and after.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.linear.gradients import parameter_gradients, serves
from vrtspike.runtime.environment import processor_name

CONVOLVED = (16, 8)
"""Maps and their heights. PyTorch convolves fewer maps than 16 on one thread by MKL, not by oneDNN."""


@cache
def dtypes() -> tuple[torch.dtype, ...]:
    """Return the types in which oneDNN is faster than PyTorch's linear layer on this processor."""
    if not torch.backends.mkldnn.is_available():
        return ()
    found = []
    if torch.backends.cpu.get_cpu_capability() == 'AVX512' and 'Intel' not in processor_name():
        found.append(torch.float32)
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        found.append(torch.bfloat16)
    return tuple(found)


def missing() -> str | None:
    """Return why this backend cannot be used here, or None."""
    if not torch.backends.mkldnn.is_available():
        return 'needs a PyTorch with oneDNN'
    return None if dtypes() else 'is no faster than PyTorch on this processor'


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    """Compute ``residual + x W^T + bias``; the backward pass computes the gradient of ``x`` by oneDNN too."""
    if torch.is_grad_enabled():
        return _Linear.apply(x, weight, bias, residual)
    return product(x, weight, bias, residual)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None) -> Tensor:
    """Compute ``residual + x W^T + bias`` without gradients."""
    x, weight = x.contiguous(), weight.contiguous()
    if residual is None:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'none', [], '')
    return torch.ops.mkldnn._linear_pointwise.binary(x, residual.contiguous(), weight, bias, 'add')


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias, residual)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, needs_residual = ctx.needs_input_grad
        rows, inputs = (each.reshape(-1, each.shape[-1]) for each in (grad, x))
        if needs_weight and serves(rows, inputs):
            of_weight, of_bias = parameter_gradients(rows, inputs)
        else:
            of_weight = _weight_gradient(rows, inputs) if needs_weight else None
            of_bias = rows.sum(0) if needs_bias else None
        return (
            product(grad, weight.t()) if needs_x else None,
            of_weight,
            of_bias if needs_bias else None,
            grad if needs_residual else None,
        )


def _weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Return ``grad^T x`` (C', C) of rows (M, C') and (M, C).

    In float32 it is computed as the gradient of a 1x1 convolution where M divides into enough maps for PyTorch to give
    it to oneDNN. MKL takes longer for the product itself.
    """
    divides = len(grad) > 0 and len(grad) % math.prod(CONVOLVED) == 0
    if grad.dtype != torch.float32 or not divides:
        return grad.t() @ x
    maps, of_grad = (each.contiguous().view(*CONVOLVED, -1, each.shape[1]).permute(0, 3, 1, 2) for each in (x, grad))
    weight = grad.new_empty(grad.shape[1], x.shape[1], 1, 1)  # only its shape counts
    only_weight = (False, True, False)
    found = torch.ops.aten.convolution_backward(
        of_grad, maps, weight, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, only_weight
    )
    return found[1].flatten(1)
