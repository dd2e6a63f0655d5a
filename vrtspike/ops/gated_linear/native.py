"""The gate on CPUs with our own kernel (``cpu_kernel/``): one pass over the maps, forward and backward."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.native.build import library, why_missing
from vrtspike.ops.gated_linear.recomputing import Gate

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
missing = partial(why_missing, SOURCE)


@torch.library.custom_op('vrtspike::gate', mutates_args=(), device_types='cpu')
def _values(x: Tensor, gate: Tensor) -> Tensor:
    """Return ``gelu(x) * gate`` of maps of one shape."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    _call('forward', x.contiguous(), gate.contiguous(), out)
    return out


@_values.register_fake
def _(x, gate):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op('vrtspike::gate_backward', mutates_args=('grad_x', 'grad_gate'), device_types='cpu')
def _gradients(grad: Tensor, x: Tensor, gate: Tensor, grad_x: Tensor, grad_gate: Tensor) -> Tensor:
    """Write the gradients, contiguous tensors, and return the values again."""
    out = torch.empty_like(grad_x)
    _call('backward', grad.contiguous(), x.contiguous(), gate.contiguous(), grad_x, grad_gate, out)
    return out


@_gradients.register_fake
def _(grad, x, gate, grad_x, grad_gate):
    return torch.empty_like(grad_x)


def _call(name: str, first: Tensor, *others: Tensor) -> None:
    """Call the function ``name`` of the library for the type of the tensors, which are contiguous."""
    function = getattr(library(SOURCE), f'{name}_{str(first.dtype).removeprefix("torch.")}')
    function.restype = None
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (first, *others)]
    function(ctypes.c_int64(first.numel()), ctypes.c_int(torch.get_num_threads()), *pointers)


def _values_alone(x: Tensor, gate: Tensor, biases: None) -> Tensor:
    return _values(x, gate)


def _gradients_alone(
    grad: Tensor, x: Tensor, gate: Tensor, biases: None, grad_x: Tensor, grad_gate: Tensor
) -> tuple[Tensor, None]:
    return _gradients(grad, x, gate, grad_x, grad_gate), None


NATIVE = Gate(_values_alone, _gradients_alone, takes_halves=False)
