"""Triton kernels of layer normalisation of rows of channels, in float32.

A program computes blocks of R rows with BC channels. ``sources`` and ``positions`` are those of
:class:`~vrtspike.ops.rows.Order`, or None. ``S`` is a :class:`~vrtspike.ops.row_blocks.RowBlock`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def normalised(x, row, inside, eps, S: tl.constexpr):
    """Return rows (R, BC) of ``x``, normalised, and one over their standard deviations (R, 1)."""
    c = tl.arange(0, S.BC)[None, :]
    at, mask = x + row[:, None] * S.C + c, inside[:, None] & (c < S.C)
    values = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    mean = tl.sum(values, 1)[:, None] / S.C
    values = tl.where(c < S.C, values - mean, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(values * values, 1)[:, None] / S.C + eps)
    return values * scale, scale


@triton.jit
def norm_kernel(x, weight, bias, sources, out, rows, results, eps, S: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * S.R + tl.arange(0, S.R)
    c = tl.arange(0, S.BC)
    inside = i < results
    source = i
    if sources is not None:
        source = tl.load(sources + i, mask=inside, other=0).to(tl.int64)
    found = inside & (source < rows)
    values, _ = normalised(x, source, found, eps, S)
    w = tl.load(weight + c, mask=c < S.C, other=0.0)[None, :]
    b = tl.load(bias + c, mask=c < S.C, other=0.0)[None, :]
    result = tl.where(found[:, None], values * w + b, 0.0)
    mask = inside[:, None] & (c < S.C)[None, :]
    tl.store(out + i[:, None] * S.C + c[None, :], result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def norm_backward_kernel(grad, x, weight, positions, beside, grad_x, partial, rows, programs, eps, S: tl.constexpr):
    """Sum the gradients of weight and bias of a program's rows: partial (programs, 2, C).

    ``beside``, rows (N, C) or None, is added to the gradient of ``x``.
    """
    program = tl.program_id(0)
    c = tl.arange(0, S.BC)
    w = tl.load(weight + c, mask=c < S.C, other=0.0)[None, :]
    weight_sums, bias_sums = tl.zeros((S.BC,), tl.float32), tl.zeros((S.BC,), tl.float32)
    for first in tl.range(program * S.R, rows, programs * S.R):
        i = (first + tl.arange(0, S.R)).to(tl.int64)
        inside = i < rows
        position = i
        if positions is not None:
            position = tl.load(positions + i, mask=inside, other=0).to(tl.int64)
        mask = inside[:, None] & (c < S.C)[None, :]
        values, scale = normalised(x, i, inside, eps, S)
        g = tl.load(grad + position[:, None] * S.C + c[None, :], mask=mask, other=0.0).to(tl.float32)
        weight_sums += tl.sum(g * values, 0)
        bias_sums += tl.sum(g, 0)
        g *= w
        mean, along = tl.sum(g, 1)[:, None] / S.C, tl.sum(g * values, 1)[:, None] / S.C
        result = scale * (g - mean - values * along)
        own = i[:, None] * S.C + c[None, :]
        if beside is not None:
            result += tl.load(beside + own, mask=mask, other=0.0).to(tl.float32)
        tl.store(grad_x + own, result.to(grad_x.dtype.element_ty), mask=mask)
    at = partial + program * 2 * S.C + c
    tl.store(at, weight_sums, mask=c < S.C)
    tl.store(at + S.C, bias_sums, mask=c < S.C)
