"""The gate on GPUs with Triton: one pass over the maps, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vrtspike.ops.gated_linear.recomputing import Gate

BLOCK, WARPS = 1024, 4
"""Eight numbers a thread: a load of 16 bytes in 16 bit, two in float32."""


@torch.library.custom_op('vrtspike::triton_gate', mutates_args=())
def _values(x: Tensor, gate: Tensor) -> Tensor:
    """Return ``gelu(x) * gate`` of maps of one shape."""
    from vrtspike.ops.gated_linear import triton_kernels as kernels

    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    _launch(kernels.gate_kernel, x.contiguous(), gate.contiguous(), out)
    return out


@_values.register_fake
def _(x, gate):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op('vrtspike::triton_gate_backward', mutates_args=('grad_x', 'grad_gate'))
def _gradients(grad: Tensor, x: Tensor, gate: Tensor, grad_x: Tensor, grad_gate: Tensor) -> Tensor:
    """Write the gradients, contiguous tensors, and return the values again."""
    from vrtspike.ops.gated_linear import triton_kernels as kernels

    out = torch.empty_like(grad_x)
    _launch(kernels.gate_backward_kernel, grad.contiguous(), x.contiguous(), gate.contiguous(), grad_x, grad_gate, out)
    return out


@_gradients.register_fake
def _(grad, x, gate, grad_x, grad_gate):
    return torch.empty_like(grad_x)


def _launch(kernel, *tensors: Tensor) -> None:
    count = tensors[0].numel()
    if count:
        kernel[(-(-count // BLOCK),)](*tensors, count, BLOCK=BLOCK, num_warps=WARPS)


TRITON = Gate(_values, _gradients)
