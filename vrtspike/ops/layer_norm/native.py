"""Layer normalisation on CPUs with our own kernels (``cpu_kernel/``): one pass over the rows, forward and backward."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.native.build import library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads
from vrtspike.ops.layer_norm.recomputing import Kernels, empty_results

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


@torch.library.custom_op('vrtspike::layer_norm', mutates_args=(), device_types='cpu')
def _values(x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, sources: Tensor | None) -> Tensor:
    out = empty_results(x, dtype, sources)
    function, sizes = function_for(library(SOURCE), 'forward', x.dtype, dtype), (len(x), len(out), x.shape[1])
    function(int64_array(sizes), ctypes.c_float(eps), threads(), *pointers(x, weight, bias, sources, out))
    return out


@_values.register_fake
def _(x, weight, bias, eps, dtype, sources):
    return empty_results(x, dtype, sources)


@torch.library.custom_op('vrtspike::layer_norm_backward', mutates_args=(), device_types='cpu')
def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float, positions: Tensor | None, beside: Tensor | None
) -> tuple[Tensor, Tensor]:
    grad_x, partial = torch.empty_like(x), _partial(x)
    function, sizes = function_for(library(SOURCE), 'backward', x.dtype, grad.dtype), (len(x), len(grad), x.shape[1])
    tensors = pointers(grad, x, weight, positions, beside, grad_x, partial)
    function(int64_array(sizes), ctypes.c_float(eps), threads(), ctypes.c_int64(len(partial)), *tensors)
    return grad_x, partial


@_gradients.register_fake
def _(grad, x, weight, eps, positions, beside):
    return torch.empty_like(x), _partial(x)


def _partial(x: Tensor) -> Tensor:
    return x.new_empty((torch.get_num_threads(), 2, x.shape[1]), dtype=torch.float32)


KERNELS = Kernels(_values, _gradients)
