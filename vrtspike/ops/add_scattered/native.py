"""The sum on CPUs with our own kernels (``cpu_kernel/``): one pass over map and rows, forward and backward."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.native.build import library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads
from vrtspike.ops.add_scattered.reference import Addend, reference
from vrtspike.ops.rows import Order

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


def native(x: Tensor, addend: Addend) -> Tensor:
    """Compute :func:`vrtspike.ops.add_scattered` of rows.

    Rows in the order of the map or with a bias are added as by the reference.
    """
    chunks, order, scale, bias = addend
    if chunks[0].dtype not in DTYPES or order is None or bias is not None:
        return reference(x, addend)
    dtype = torch.promote_types(x.dtype, chunks[0].dtype)
    return _AddScattered.apply(x.to(dtype).contiguous(), order, scale, *(rows.contiguous() for rows in chunks))


class _AddScattered(torch.autograd.Function):
    """The sum, which saves no tensor: activation checkpointing stops before it when it computes a block again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Order, scale: float, *chunks: Tensor) -> Tensor:
        ctx.settings = order.sources, scale, chunks[0].dtype
        ctx.lengths = [len(rows) for rows in chunks]
        return _added(x, chunks, order.sources, scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, None, None, *_gathered(grad.contiguous(), *ctx.settings).split(ctx.lengths)


@torch.library.custom_op('vrtspike::add_scattered', mutates_args=(), device_types='cpu')
def _added(x: Tensor, chunks: Sequence[Tensor], sources: Tensor, scale: float) -> Tensor:
    """Return the sum (N, C) of contiguous tensors, of the type of ``x``; the chunks have as many rows as sources."""
    out, first = torch.empty_like(x), 0
    for rows in chunks:
        _call('add', x, rows, scale, x, rows, sources[first : first + len(rows)], out)
        first += len(rows)
    return out


@_added.register_fake
def _(x, chunks, sources, scale):
    return torch.empty_like(x)


@torch.library.custom_op('vrtspike::gather_scaled', mutates_args=(), device_types='cpu')
def _gathered(grad: Tensor, sources: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """Return rows (M, C) of ``dtype`` of a contiguous gradient (N, C)."""
    rows = grad.new_empty((len(sources), grad.shape[1]), dtype=dtype)
    _call('gather', grad, rows, scale, grad, sources, rows)
    return rows


@_gathered.register_fake
def _(grad, sources, scale, dtype):
    return grad.new_empty((len(sources), grad.shape[1]), dtype=dtype)


def _call(name: str, map_rows: Tensor, rows: Tensor, scale: float, *tensors: Tensor) -> None:
    """Call the function ``name`` for the types of a map and the rows that belong to it."""
    function = function_for(library(SOURCE), name, map_rows.dtype, rows.dtype)
    sizes = int64_array((len(map_rows), len(rows), map_rows.shape[1]))
    function(sizes, ctypes.c_float(scale), threads(), *pointers(*tensors))
