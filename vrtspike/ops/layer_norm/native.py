"""Layer normalisation on CPUs with our own kernel (``cpu_kernel/``), which gathers in the same pass.

It has no backward pass: gradients are computed as fast by PyTorch's.
"""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.native.build import library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads
from vrtspike.ops.layer_norm.reference import reference
from vrtspike.ops.rows import Order

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


def native(x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, order: Order | None) -> Tensor:
    """Normalise rows (N, C); where weight and bias alone are trained, as the reference does."""
    if torch.is_grad_enabled() and (weight.requires_grad or bias.requires_grad):
        return reference(x, weight, bias, eps, dtype, order)
    return _normalised(x.contiguous(), weight.float(), bias.float(), eps, dtype, order and order.sources)


@torch.library.custom_op('vrtspike::layer_norm', mutates_args=(), device_types='cpu')
def _normalised(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, sources: Tensor | None
) -> Tensor:
    """Return rows (M, C) of ``dtype`` from rows (N, C), all contiguous; weight and bias are float32."""
    out = _results(x, dtype, sources)
    function, sizes = function_for(library(SOURCE), 'forward', x.dtype, dtype), (len(x), len(out), x.shape[1])
    function(int64_array(sizes), ctypes.c_float(eps), threads(), *pointers(x, weight, bias, sources, out))
    return out


@_normalised.register_fake
def _(x, weight, bias, eps, dtype, sources):
    return _results(x, dtype, sources)


def _results(x: Tensor, dtype: torch.dtype, sources: Tensor | None) -> Tensor:
    return x.new_empty((len(x) if sources is None else len(sources), x.shape[1]), dtype=dtype)
