"""Triton kernels of rows that are added to a map in another order, and of their gradient, in float32.

A program computes R rows of BC channels, C padded to a power of 2. ``sources`` and ``places`` are those of
:class:`~vrtspike.ops.rows.Order`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add_kernel(x, rows, places, out, count, scale, C: tl.constexpr, BC: tl.constexpr, R: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    c = tl.arange(0, BC)[None, :]
    inside = i < count
    place = tl.load(places + i, mask=inside, other=0).to(tl.int64)
    mask = inside[:, None] & (c < C)
    value = tl.load(x + i[:, None] * C + c, mask=mask, other=0.0).to(tl.float32)
    value += scale * tl.load(rows + place[:, None] * C + c, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + i[:, None] * C + c, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def gather_kernel(grad, sources, rows, count, map_rows, scale, C: tl.constexpr, BC: tl.constexpr, R: tl.constexpr):
    """Rows that belong to no row of the map get zeros."""
    i = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    c = tl.arange(0, BC)[None, :]
    inside = i < count
    source = tl.load(sources + i, mask=inside, other=0).to(tl.int64)
    found = (inside & (source < map_rows))[:, None] & (c < C)
    value = scale * tl.load(grad + source[:, None] * C + c, mask=found, other=0.0).to(tl.float32)
    tl.store(rows + i[:, None] * C + c, value.to(rows.dtype.element_ty), mask=inside[:, None] & (c < C))
