"""Triton kernels of the offsets and masks of a flow-guided deformable convolution, in float32.

A program computes BLOCK pixels of TAPS taps, all of one neighbour. Maps are planes: predictions (N, 3*ALL), first the
residues (y, x) of every tap, then the masks; flows (N, 2*NEIGHBOURS), x before y; offsets (N, 2*ALL), y before x.
``S`` is what a kernel is compiled for, see :class:`~vrtspike.ops.flow_offsets.on_gpu.Constants`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def place_of(S: tl.constexpr):
    """Return a program's map, its first tap, and the number of its plane of flow along x."""
    groups: tl.constexpr = S.ALL // S.TAPS
    program = tl.program_id(1).to(tl.int64)
    n, group = program // groups, program % groups
    return n, group * S.TAPS, 2 * (n * S.NEIGHBOURS + group * S.NEIGHBOURS // groups)


@triton.jit
def offsets_kernel(predicted, flows, offset, mask, max_residue, pixels, S: tl.constexpr):
    n, first, flow = place_of(S)
    i = tl.program_id(0) * S.BLOCK + tl.arange(0, S.BLOCK)
    inside = i < pixels
    flow_x = tl.load(flows + flow * pixels + i, mask=inside, other=0.0)
    flow_y = tl.load(flows + (flow + 1) * pixels + i, mask=inside, other=0.0)
    for k in tl.static_range(S.TAPS):
        tap = first + k
        residue = predicted + (3 * S.ALL * n + 2 * tap) * pixels + i
        out = offset + (2 * S.ALL * n + 2 * tap) * pixels + i
        y = tl.load(residue, mask=inside, other=0.0).to(tl.float32)
        x = tl.load(residue + pixels, mask=inside, other=0.0).to(tl.float32)
        tl.store(out, flow_y + max_residue * tanh_of(y), mask=inside)
        tl.store(out + pixels, flow_x + max_residue * tanh_of(x), mask=inside)
        weight = predicted + (3 * S.ALL * n + 2 * S.ALL + tap) * pixels + i
        result = tl.sigmoid(tl.load(weight, mask=inside, other=0.0).to(tl.float32)).to(mask.dtype.element_ty)
        tl.store(mask + (S.ALL * n + tap) * pixels + i, result, mask=inside)


@triton.jit
def tanh_of(x):
    return 1.0 - 2.0 * tl.sigmoid(-2.0 * x)


@triton.jit
def offsets_backward_kernel(
    grad_offset, grad_mask, offset, mask, flows, grad_predicted, partial, max_residue, inverse, pixels, S: tl.constexpr
):
    """Sum the gradient of the flow over a program's taps: partial (N, ALL / TAPS, 2), x before y.

    ``inverse`` is one over ``max_residue``, or zero: the tangent is (offset - flow) * inverse.
    """
    n, first, flow = place_of(S)
    i = tl.program_id(0) * S.BLOCK + tl.arange(0, S.BLOCK)
    inside = i < pixels
    flow_x = tl.load(flows + flow * pixels + i, mask=inside, other=0.0)
    flow_y = tl.load(flows + (flow + 1) * pixels + i, mask=inside, other=0.0)
    sum_x, sum_y = tl.zeros((S.BLOCK,), tl.float32), tl.zeros((S.BLOCK,), tl.float32)
    for k in tl.static_range(S.TAPS):
        tap = first + k
        at, out = (2 * S.ALL * n + 2 * tap) * pixels + i, grad_predicted + (3 * S.ALL * n + 2 * tap) * pixels + i
        g_y = tl.load(grad_offset + at, mask=inside, other=0.0)
        g_x = tl.load(grad_offset + at + pixels, mask=inside, other=0.0)
        y = tl.load(offset + at, mask=inside, other=0.0) - flow_y
        x = tl.load(offset + at + pixels, mask=inside, other=0.0) - flow_x
        sum_y += g_y
        sum_x += g_x
        tl.store(out, (g_y * (max_residue - y * y * inverse)).to(grad_predicted.dtype.element_ty), mask=inside)
        tl.store(out + pixels, (g_x * (max_residue - x * x * inverse)).to(grad_predicted.dtype.element_ty), mask=inside)
        at = (S.ALL * n + tap) * pixels + i
        m = tl.load(mask + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(grad_mask + at, mask=inside, other=0.0).to(tl.float32) * m * (1.0 - m)
        out = grad_predicted + (3 * S.ALL * n + 2 * S.ALL + tap) * pixels + i
        tl.store(out, g.to(grad_predicted.dtype.element_ty), mask=inside)
    total = partial + 2 * tl.program_id(1).to(tl.int64) * pixels + i
    tl.store(total, sum_x, mask=inside)
    tl.store(total + pixels, sum_y, mask=inside)
