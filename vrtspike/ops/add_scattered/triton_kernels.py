"""Triton kernels of rows that are added to a map in another order, and of their gradient, in float32.

A program computes blocks of R rows of BC channels, C padded to a power of 2. ``sources`` and ``positions`` are those of
:class:`~vrtspike.ops.rows.Order`; None is the order of the map. ``bias`` (C,) or None is added to every row.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sum_of(x, rows, positions, bias, count, scale, i, c, C: tl.constexpr):
    """Return the sums at tokens ``i`` (R,) and channels ``c`` (1, BC), and the mask of those that exist."""
    inside = i < count
    position = i
    if positions is not None:
        position = tl.load(positions + i, mask=inside, other=0).to(tl.int64)
    mask = inside[:, None] & (c < C)
    row = tl.load(rows + position[:, None] * C + c, mask=mask, other=0.0).to(tl.float32)
    if bias is not None:
        row += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)
    return tl.load(x + i[:, None] * C + c, mask=mask, other=0.0).to(tl.float32) + scale * row, mask


@triton.jit
def add_kernel(x, rows, positions, bias, out, count, scale, C: tl.constexpr, BC: tl.constexpr, R: tl.constexpr):
    i, c = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R), tl.arange(0, BC)[None, :]
    value, mask = sum_of(x, rows, positions, bias, count, scale, i, c, C)
    tl.store(out + i[:, None] * C + c, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def add_norm_kernel(
    x,
    rows,
    positions,
    bias,
    weight,
    shift,
    out,
    normed,
    count,
    scale,
    eps,
    C: tl.constexpr,
    BC: tl.constexpr,
    R: tl.constexpr,
):
    """Also normalise the channels of the sum, with ``weight`` (C,) and ``shift`` (C,)."""
    i, c = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R), tl.arange(0, BC)[None, :]
    known = c < C
    value, mask = sum_of(x, rows, positions, bias, count, scale, i, c, C)
    value = value.to(out.dtype.element_ty)
    tl.store(out + i[:, None] * C + c, value, mask=mask)
    value = tl.where(known, value.to(tl.float32), 0.0)
    value = tl.where(known, value - tl.sum(value, 1)[:, None] / C, 0.0)
    value /= tl.sqrt(tl.sum(value * value, 1)[:, None] / C + eps)
    w, b = tl.load(weight + c, mask=known, other=0.0), tl.load(shift + c, mask=known, other=0.0)
    tl.store(normed + i[:, None] * C + c, (value * w + b).to(normed.dtype.element_ty), mask=mask)


@triton.jit
def gather_kernel(
    grad,
    sources,
    rows,
    partial,
    count,
    programs,
    map_rows,
    scale,
    C: tl.constexpr,
    BC: tl.constexpr,
    R: tl.constexpr,
):
    """Rows that belong to no row of the map get zeros.

    Sum the rows of a program, the gradient of the bias: partial (programs, C), or None without a bias.
    """
    program = tl.program_id(0)
    c = tl.arange(0, BC)[None, :]
    sums = tl.zeros((R, BC), tl.float32)
    for first in tl.range(program * R, count, programs * R):
        i = (first + tl.arange(0, R)).to(tl.int64)
        inside = i < count
        source = i
        if sources is not None:
            source = tl.load(sources + i, mask=inside, other=0).to(tl.int64)
        found = (inside & (source < map_rows))[:, None] & (c < C)
        value = scale * tl.load(grad + source[:, None] * C + c, mask=found, other=0.0).to(tl.float32)
        tl.store(rows + i[:, None] * C + c, value.to(rows.dtype.element_ty), mask=inside[:, None] & (c < C))
        sums += value
    if partial is not None:
        channel = tl.arange(0, BC)
        tl.store(partial + program * C + channel, tl.sum(sums, 0), mask=channel < C)
