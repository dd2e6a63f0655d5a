"""Triton kernels of the gate, gelu(x) * gate. Every program computes BLOCK numbers, in float32.

Maps have C channels. The rows of the maps of the forward pass, and of the gradients, begin STRIDE and GRAD_STRIDE
numbers after each other: 2*C where two maps are the halves of one. All others are contiguous. ``S`` is what a kernel is
compiled for, see :class:`~vrtspike.ops.gated_linear.on_gpu.Constants`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def normal_at(x):
    """Return the density of the normal distribution at ``x``, and the probability of smaller numbers."""
    return 0.3989422804014327 * tl.exp(-0.5 * x * x), 0.5 + 0.5 * tl.erf(0.7071067811865476 * x)


@triton.jit
def gate_kernel(x, gate, out, count, S: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * S.BLOCK + tl.arange(0, S.BLOCK)
    inside = at < count
    place = at // S.C * S.STRIDE + at % S.C
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    _, below = normal_at(value)
    result = value * below * tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gate_backward_kernel(grad, x, gate, grad_x, grad_gate, out, count, S: tl.constexpr):
    """Also write the result of the forward pass again."""
    at = tl.program_id(0).to(tl.int64) * S.BLOCK + tl.arange(0, S.BLOCK)
    inside = at < count
    row, channel = at // S.C, at % S.C
    place, grad_place = row * S.STRIDE + channel, row * S.GRAD_STRIDE + channel
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    by = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
    density, below = normal_at(value)
    gelu = value * below
    tl.store(grad_x + grad_place, (g * by * (below + value * density)).to(grad_x.dtype.element_ty), mask=inside)
    tl.store(grad_gate + grad_place, (g * gelu).to(grad_gate.dtype.element_ty), mask=inside)
    tl.store(out + at, (gelu * by).to(out.dtype.element_ty), mask=inside)
