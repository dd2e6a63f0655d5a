"""Layer normalisation on GPUs with Triton: one pass over the rows, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vrtspike.ops.layer_norm.recomputing import Kernels, empty_results
from vrtspike.ops.row_blocks import RowBlock, row_block
from vrtspike.ops.triton_support import in_triton

NUMBERS, WARPS = 2048, 4
"""Numbers of a block: sixteen a thread."""
PROGRAMS = 512
"""Programs of the backward pass at most; each sums the gradients of weight and bias over a share of the rows."""


@torch.library.custom_op('vrtspike::triton_layer_norm', mutates_args=())
def _values(x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, sources: Tensor | None) -> Tensor:
    from vrtspike.ops.layer_norm import triton_kernels as kernels

    out = empty_results(x, dtype, sources)
    if len(out):
        block = _block(x)
        programs, arguments = -(-len(out) // block.R), (x, weight, bias, sources, out, len(x), len(out), eps)
        kernels.norm_kernel[(programs,)](*arguments, S=in_triton(block), num_warps=WARPS)
    return out


@_values.register_fake
def _(x, weight, bias, eps, dtype, sources):
    return empty_results(x, dtype, sources)


@torch.library.custom_op('vrtspike::triton_layer_norm_backward', mutates_args=())
def gradients(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float, positions: Tensor | None, beside: Tensor | None
) -> tuple[Tensor, Tensor]:
    from vrtspike.ops.layer_norm import triton_kernels as kernels

    grad_x, partial = torch.empty_like(x), _partial(x)
    if programs := len(partial):
        arguments = grad, x, weight, positions, beside, grad_x, partial, len(x), programs, eps
        kernels.norm_backward_kernel[(programs,)](*arguments, S=in_triton(_block(x)), num_warps=WARPS)
    return grad_x, partial


@gradients.register_fake
def _(grad, x, weight, eps, positions, beside):
    return torch.empty_like(x), _partial(x)


def _partial(x: Tensor) -> Tensor:
    programs = min(PROGRAMS, -(-len(x) // _block(x).R))
    return x.new_empty((programs, 2, x.shape[1]), dtype=torch.float32)


def _block(x: Tensor) -> RowBlock:
    return row_block(x.shape[1], NUMBERS)


KERNELS = Kernels(_values, gradients)
