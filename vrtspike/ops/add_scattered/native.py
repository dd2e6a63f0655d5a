"""The sum on CPUs with our own kernel (``cpu_kernel/``): one pass over map and rows.

It has no backward pass: with PyTorch's, training is as fast.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.native.build import library, why_missing
from vrtspike.ops.add_scattered.reference import Addend, reference

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


def native(x: Tensor, addend: Addend) -> Tensor:
    """Compute :func:`vrtspike.ops.add_scattered` of rows.

    Rows that are trained alone, in the order of the map or with a bias are added as by the reference.
    """
    chunks, order, scale, bias = addend
    trains = torch.is_grad_enabled() and any(rows.requires_grad for rows in chunks)
    if trains or chunks[0].dtype not in DTYPES or order is None or bias is not None:
        return reference(x, addend)
    dtype = torch.promote_types(x.dtype, chunks[0].dtype)
    return _added(x.to(dtype).contiguous(), [rows.contiguous() for rows in chunks], order.sources, scale)


@torch.library.custom_op('vrtspike::add_scattered', mutates_args=(), device_types='cpu')
def _added(x: Tensor, chunks: Sequence[Tensor], sources: Tensor, scale: float) -> Tensor:
    """Return the sum (N, C) of contiguous tensors, of the type of ``x``; the chunks have as many rows as sources."""
    out, first = torch.empty_like(x), 0
    for rows in chunks:
        _add(x, rows, sources[first : first + len(rows)], scale, out)
        first += len(rows)
    return out


@_added.register_fake
def _(x, chunks, sources, scale):
    return torch.empty_like(x)


def _add(x: Tensor, rows: Tensor, sources: Tensor, scale: float, out: Tensor) -> None:
    """Write the rows of the sum that ``rows`` belong to."""
    types = '_'.join(str(tensor.dtype).removeprefix('torch.') for tensor in (x, rows))
    function = getattr(library(SOURCE), f'add_{types}')
    function.restype = None
    sizes = (ctypes.c_int64 * 3)(len(x), len(rows), x.shape[1])
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (x, rows, sources, out)]
    function(sizes, ctypes.c_float(scale), ctypes.c_int(torch.get_num_threads()), *pointers)
