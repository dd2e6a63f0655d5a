"""Triton kernels of the gate, (gelu(x + bias_x)) * (gate + bias_gate), in float32.

Maps have C channels. The rows of the maps of the forward pass, and of the gradients, begin STRIDE and GRAD_STRIDE
numbers after each other: 2*C where two maps are the halves of one. All others are contiguous. The biases (C,) may be
None, for zeros. ``S`` is what a kernel is compiled for, see :class:`~vrtspike.ops.gated_linear.on_gpu.Constants`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def normal_at(x):
    """Return the density of the normal distribution at ``x``, and the probability of smaller numbers."""
    return 0.3989422804014327 * tl.exp(-0.5 * x * x), 0.5 + 0.5 * tl.erf(0.7071067811865476 * x)


@triton.jit
def load_plus(map, place, mask, bias, channel):
    """Return numbers of a map plus the bias of their channels, which all exist."""
    value = tl.load(map + place, mask=mask, other=0.0).to(tl.float32)
    if bias is not None:
        value += tl.load(bias + channel).to(tl.float32)
    return value


@triton.jit
def gate_kernel(x, gate, bias_x, bias_gate, out, count, S: tl.constexpr):
    """A program computes BC * R numbers in the order of memory."""
    at = tl.program_id(0).to(tl.int64) * (S.BC * S.R) + tl.arange(0, S.BC * S.R)
    inside = at < count
    channel = at % S.C
    place = at // S.C * S.STRIDE + channel
    value = load_plus(x, place, inside, bias_x, channel)
    _, below = normal_at(value)
    result = value * below * load_plus(gate, place, inside, bias_gate, channel)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gate_backward_kernel(
    grad, x, gate, bias_x, bias_gate, grad_x, grad_gate, out, partial, rows, programs, S: tl.constexpr
):
    """Also write the result of the forward pass again.

    A program computes every ``programs``-th block of R rows, BC of their channels, and sums the gradients of the biases
    over them: partial (programs, 2, C), or None without biases.
    """
    blocks: tl.constexpr = (S.C + S.BC - 1) // S.BC
    block, program = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    c = block * S.BC + tl.arange(0, S.BC)
    channel = tl.minimum(c, S.C - 1)[None, :]
    sums_x, sums_gate = tl.zeros((S.R, S.BC), tl.float32), tl.zeros((S.R, S.BC), tl.float32)
    for first in tl.range(program * S.R, rows, programs * S.R):
        row = (first + tl.arange(0, S.R)).to(tl.int64)[:, None]
        mask = (row < rows) & (c < S.C)[None, :]
        at, place, grad_place = row * S.C + c, row * S.STRIDE + c, row * S.GRAD_STRIDE + c
        value = load_plus(x, place, mask, bias_x, channel)
        by = load_plus(gate, place, mask, bias_gate, channel)
        g = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
        density, below = normal_at(value)
        gelu = value * below
        of_x, of_gate = g * by * (below + value * density), g * gelu
        tl.store(grad_x + grad_place, of_x.to(grad_x.dtype.element_ty), mask=mask)
        tl.store(grad_gate + grad_place, of_gate.to(grad_gate.dtype.element_ty), mask=mask)
        tl.store(out + at, (gelu * by).to(out.dtype.element_ty), mask=mask)
        sums_x += of_x
        sums_gate += of_gate
    if partial is not None:
        own = partial + program * 2 * S.C + c
        tl.store(own, tl.sum(sums_x, 0), mask=c < S.C)
        tl.store(own + S.C, tl.sum(sums_gate, 0), mask=c < S.C)
