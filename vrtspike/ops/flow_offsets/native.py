"""Offsets and masks on CPUs with our own kernel (``cpu_kernel/``): one pass over the maps, forward and backward."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vrtspike.native.build import library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads
from vrtspike.ops.flow_offsets.results import new_predictions, new_results, save_results

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


def native(predicted: Tensor, flows: Tensor, max_residue: float) -> tuple[Tensor, Tensor]:
    """Compute :func:`vrtspike.ops.flow_offsets` in float32."""
    return _values(predicted.contiguous(), flows.float().contiguous(), max_residue)


@torch.library.custom_op('vrtspike::flow_offsets', mutates_args=(), device_types='cpu')
def _values(predicted: Tensor, flows: Tensor, max_residue: float) -> tuple[Tensor, Tensor]:
    """Return offsets in float32 and masks of contiguous tensors, flows in float32."""
    offset, mask = new_results(predicted)
    _call('forward', _sizes(flows, mask), max_residue, mask.dtype, predicted, flows, offset, mask)
    return offset, mask


@_values.register_fake
def _(predicted, flows, max_residue):
    return new_results(predicted)


@torch.library.custom_op('vrtspike::flow_offsets_backward', mutates_args=(), device_types='cpu')
def _gradients(
    grad_offset: Tensor, grad_mask: Tensor, offset: Tensor, mask: Tensor, flows: Tensor, max_residue: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of predictions and flows; all tensors are contiguous."""
    grads = new_predictions(mask), torch.empty_like(flows)
    tensors = (grad_offset, grad_mask, offset, mask, flows, *grads)
    _call('backward', _sizes(flows, mask), max_residue, mask.dtype, *tensors)
    return grads


@_gradients.register_fake
def _(grad_offset, grad_mask, offset, mask, flows, max_residue):
    return new_predictions(mask), torch.empty_like(flows)


def _backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return *_gradients(*(grad.contiguous() for grad in grads), *ctx.saved_tensors, ctx.max_residue), None


_values.register_autograd(_backward, setup_context=save_results)


def _sizes(flows: Tensor, mask: Tensor) -> tuple[int, ...]:
    """Return what the kernel's ``Shape`` has."""
    return len(mask), mask.shape[1], flows.shape[1] // 2, mask.shape[2:].numel()


def _call(name: str, sizes: tuple[int, ...], max_residue: float, dtype: torch.dtype, *tensors: Tensor) -> None:
    """Call the function ``name`` of the library for the type of predictions and masks."""
    function = function_for(library(SOURCE), name, dtype)
    function(int64_array(sizes), ctypes.c_float(max_residue), threads(), *pointers(*tensors))
