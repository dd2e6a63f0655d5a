"""Deformable convolution on CPUs with our own kernel (``cpu_kernel/``), without samples in memory.

Shapes are those of :func:`vrtspike.ops.deform_conv2d`; D deformable groups, K = k*k taps.
"""

from __future__ import annotations

import ctypes
import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.native.build import library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads
from vrtspike.ops.deform_conv.operands import as_operands, register_flops

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


def native(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int) -> Tensor:
    """Compute :func:`vrtspike.ops.deform_conv2d`: sums are in float32, the result has the type of ``x`` or autocast."""
    return _convolve(*as_operands(x, offset, mask, weight, bias, DTYPES), padding)


@torch.library.custom_op('vrtspike::deform_conv2d', mutates_args=(), device_types='cpu')
def _convolve(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """Return the output (N, C_out, H', W'); the arguments are those of :func:`as_operands`."""
    out = x.new_empty((len(x), weight.shape[1], *offset.shape[-2:]))
    grouped = _grouped(x, weight).permute(0, 1, 3, 2)  # (K, groups, channels, outputs)
    _call('forward', _sizes(x, offset, weight, padding), (), x, offset, mask, _whole_vectors(grouped), bias, out)
    return out


@_convolve.register_fake
def _(x, offset, mask, weight, bias, padding):
    return x.new_empty((len(x), weight.shape[1], *offset.shape[-2:]))


@torch.library.custom_op('vrtspike::deform_conv2d_backward', mutates_args=(), device_types='cpu')
def _backward(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, grad: Tensor, padding: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of ``x``, ``offset``, ``mask`` and ``weight``."""
    grouped = _grouped(x, weight)
    taps, groups, outputs, channels = grouped.shape
    threads, deformable_groups = torch.get_num_threads(), mask.shape[1] // taps
    splits = max(1, min(len(x), threads))
    parts = min(deformable_groups, max(1, threads // splits))
    results = [torch.empty_like(tensor) for tensor in (x, offset, mask)]
    sums = _whole_vectors(torch.zeros(splits, taps, groups, channels, outputs))
    more = (ctypes.c_int64(splits), ctypes.c_int64(parts))
    inputs = (offset, mask, _whole_vectors(grouped), grad)
    _call('backward', _sizes(x, offset, weight, padding), more, x, *inputs, *results, sums)
    grad_weight = sums.sum(0)[..., :outputs].transpose(2, 3).reshape(weight.shape)
    return *results, grad_weight.to(weight.dtype)


@_backward.register_fake
def _(x, offset, mask, weight, grad, padding):
    return tuple(torch.empty_like(tensor) for tensor in (x, offset, mask, weight))


def _save(ctx, inputs: tuple, output: Tensor) -> None:
    *tensors, bias, ctx.padding = inputs
    ctx.save_for_backward(*tensors)
    ctx.has_bias = bias is not None


def _gradients(ctx, grad: Tensor) -> tuple:
    grads = _backward(*ctx.saved_tensors, grad.contiguous(), ctx.padding)
    return *grads, grad.sum((0, 2, 3)) if ctx.has_bias else None, None


_convolve.register_autograd(_gradients, setup_context=_save)
register_flops(torch.ops.vrtspike.deform_conv2d, products=1, samples=1)
register_flops(torch.ops.vrtspike.deform_conv2d_backward, products=2, samples=3)


def _grouped(x: Tensor, weight: Tensor) -> Tensor:
    """Return the kernel as (K, groups, outputs, channels) of float32."""
    groups = x.shape[1] // weight.shape[2]
    return weight.float().unflatten(1, (groups, -1))


def _whole_vectors(x: Tensor) -> Tensor:
    """Return ``x``, contiguous, with zeros that fill the last vector of its last axis."""
    return F.pad(x, (0, -x.shape[-1] % library(SOURCE).lanes())).contiguous()


def _sizes(x: Tensor, offset: Tensor, weight: Tensor, padding: int) -> tuple[int, ...]:
    """Return what the kernel's ``Shape`` has."""
    taps, outputs, channels = weight.shape
    groups, deformable_groups = x.shape[1] // channels, offset.shape[1] // (2 * taps)
    return (*x.shape, outputs, math.isqrt(taps), padding, groups, deformable_groups)


def _call(name: str, sizes: tuple[int, ...], more: tuple, x: Tensor, *tensors: Tensor | None) -> None:
    """Call the function ``name`` of the library for the type of its first tensor."""
    function = function_for(library(SOURCE), name, x.dtype)
    function(int64_array(sizes), threads(), *more, *pointers(x, *tensors))
