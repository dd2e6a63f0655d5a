"""The gate on GPUs with Triton: one pass over the maps, forward and backward.

Both kernels are operators of PyTorch, so that counters see what they read and write.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vrtspike.ops.gated_linear.recomputing import Biases, Gate
from vrtspike.ops.triton_support import in_triton

NUMBERS, WARPS = 1024, 4
"""Numbers of a block: eight a thread, which are a load of 16 bytes in 16 bit, two in float32."""
CHANNELS = 64
"""Channels of a block at most."""
PROGRAMS = 512
"""Programs of the backward pass at most for a block of channels, if they sum the gradients of the biases."""


class Constants(NamedTuple):
    """What a kernel is compiled for: channels, the distances of rows of maps and of gradients, and a program's block.

    Distances are in numbers. A block has BC channels and R rows.
    """

    C: int
    STRIDE: int
    GRAD_STRIDE: int
    BC: int
    R: int


@torch.library.custom_op('vrtspike::triton_gate', mutates_args=())
def _values(x: Tensor, gate: Tensor, bias_x: Tensor | None, bias_gate: Tensor | None) -> Tensor:
    """Return ``gelu(x + bias_x) * (gate + bias_gate)`` of maps of one shape."""
    from vrtspike.ops.gated_linear import triton_kernels as kernels

    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    maps = rows_of(x, gate)
    if count := out.numel():
        constants = _constants(out, maps[0])
        kernels.gate_kernel[(-(-count // NUMBERS),)](
            *maps, bias_x, bias_gate, out, count, S=in_triton(constants), num_warps=WARPS
        )
    return out


@_values.register_fake
def _(x, gate, bias_x, bias_gate):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op('vrtspike::triton_gate_backward', mutates_args=('grad_x', 'grad_gate'))
def _gradients(
    grad: Tensor,
    x: Tensor,
    gate: Tensor,
    bias_x: Tensor | None,
    bias_gate: Tensor | None,
    grad_x: Tensor,
    grad_gate: Tensor,
) -> tuple[Tensor, Tensor]:
    """Write the gradients, contiguous maps or the halves of one.

    Return the values again, and partial sums (programs, 2, C) of the gradients of the biases.
    """
    from vrtspike.ops.gated_linear import triton_kernels as kernels

    out, partial = _results(grad_x, bias_x)
    maps, grads = rows_of(x, gate), [each.flatten(0, -2) for each in (grad_x, grad_gate)]
    if out.numel():
        rows, constants = len(maps[0]), _constants(out, maps[0], grads[0])
        programs = -(-rows // constants.R) if bias_x is None else len(partial)
        tensors = grad.contiguous(), *maps, bias_x, bias_gate, *grads, out, None if bias_x is None else partial
        kernels.gate_backward_kernel[(programs * -(-constants.C // constants.BC),)](
            *tensors, rows, programs, S=in_triton(constants), num_warps=WARPS
        )
    return out, partial


@_gradients.register_fake
def _(grad, x, gate, bias_x, bias_gate, grad_x, grad_gate):
    return _results(grad_x, bias_x)


def values(x: Tensor, gate: Tensor, biases: Biases | None) -> Tensor:
    """Compute the hidden map, see :class:`~vrtspike.ops.gated_linear.recomputing.Gate`."""
    return _values(x, gate, *biases or (None, None))


def gradients(
    grad: Tensor, x: Tensor, gate: Tensor, biases: Biases | None, grad_x: Tensor, grad_gate: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Compute the gradients, see :class:`~vrtspike.ops.gated_linear.recomputing.Gate`."""
    hidden, partial = _gradients(grad, x, gate, *biases or (None, None), grad_x, grad_gate)
    return hidden, None if biases is None else partial.sum(0)


def rows_of(x: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """Return two maps (..., C) as rows (N, C) at one distance; the halves of a map are not copied."""
    rows = x.flatten(0, -2), gate.flatten(0, -2)
    strides = {each.stride() for each in rows}
    return rows if strides == {(rows[0].stride(0), 1)} else (rows[0].contiguous(), rows[1].contiguous())


def _results(grad_x: Tensor, bias_x: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return empty tensors for the values, and for partial sums of the gradients of the biases, if there are any."""
    out = torch.empty_like(grad_x, memory_format=torch.contiguous_format)
    blocks = -(-grad_x.shape[:-1].numel() // _block(grad_x.shape[-1])[1])
    programs = 0 if bias_x is None else min(PROGRAMS, blocks)
    return out, out.new_empty((programs, 2, grad_x.shape[-1]), dtype=torch.float32)


def _constants(out: Tensor, rows: Tensor, grad_rows: Tensor | None = None) -> Constants:
    grad_stride = 0 if grad_rows is None else grad_rows.stride(0)
    return Constants(out.shape[-1], rows.stride(0), grad_stride, *_block(out.shape[-1]))


def _block(channels: int) -> tuple[int, int]:
    """Return the channels and the rows of a block, powers of 2."""
    width = min(CHANNELS, 1 << (channels - 1).bit_length())
    return width, NUMBERS // width


TRITON = Gate(values, gradients, adds_biases=True)
