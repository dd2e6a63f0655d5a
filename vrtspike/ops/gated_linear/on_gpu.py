"""The gate on GPUs with Triton: one pass over the maps, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.gated_linear.recomputing import Gate
from vrtspike.ops.triton_support import in_triton

BLOCK, WARPS = 1024, 4
"""Eight numbers a thread: a load of 16 bytes in 16 bit, two in float32."""


class Constants(NamedTuple):
    """What a kernel is compiled for: channels, the distances of rows of maps and of gradients, and a program's numbers.

    Distances are in numbers.
    """

    C: int
    STRIDE: int
    GRAD_STRIDE: int
    BLOCK: int = BLOCK


@torch.library.custom_op('vrtspike::triton_gate', mutates_args=())
def _values(x: Tensor, gate: Tensor) -> Tensor:
    """Return ``gelu(x) * gate`` of maps of one shape."""
    from vrtspike.ops.gated_linear import triton_kernels as kernels

    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    maps = rows_of(x, gate)
    _launch(kernels.gate_kernel, (*maps, out), maps[0].stride(0))
    return out


@_values.register_fake
def _(x, gate):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op('vrtspike::triton_gate_backward', mutates_args=('grad_x', 'grad_gate'))
def _gradients(grad: Tensor, x: Tensor, gate: Tensor, grad_x: Tensor, grad_gate: Tensor) -> Tensor:
    """Write the gradients, contiguous maps or the halves of one, and return the values again."""
    from vrtspike.ops.gated_linear import triton_kernels as kernels

    out = torch.empty_like(grad_x, memory_format=torch.contiguous_format)
    maps, grads = rows_of(x, gate), [each.flatten(0, -2) for each in (grad_x, grad_gate)]
    tensors = grad.contiguous(), *maps, *grads, out
    _launch(kernels.gate_backward_kernel, tensors, maps[0].stride(0), grads[0].stride(0))
    return out


@_gradients.register_fake
def _(grad, x, gate, grad_x, grad_gate):
    return torch.empty_like(grad_x, memory_format=torch.contiguous_format)


def rows_of(x: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """Return two maps (..., C) as rows (N, C) at one distance; the halves of a map are not copied."""
    rows = x.flatten(0, -2), gate.flatten(0, -2)
    strides = {each.stride() for each in rows}
    return rows if strides == {(rows[0].stride(0), 1)} else (rows[0].contiguous(), rows[1].contiguous())


def _launch(kernel: Any, tensors: tuple[Tensor, ...], stride: int, grad_stride: int = 0) -> None:
    """Launch a kernel; the last tensor is contiguous, and the strides are the distances of the others' rows."""
    out = tensors[-1]
    if count := out.numel():
        constants = Constants(out.shape[-1], stride, grad_stride)
        kernel[(-(-count // BLOCK),)](*tensors, count, S=in_triton(constants), num_warps=WARPS)


TRITON = Gate(_values, _gradients)
