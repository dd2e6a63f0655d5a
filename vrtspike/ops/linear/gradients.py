"""Gradients of weight and bias of a linear layer on CPUs: many tokens, few channels.

A C++ kernel (``cpu_kernel/``) takes bfloat16 where the processor multiplies it. It reads the tokens once, for both
gradients, and divides them among the threads.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from vrtspike.native.build import library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
MOST = 384
"""Channels up to which the kernel was measured: it takes 0.5 (16) to 0.9 (288) of oneDNN's time."""


def parameter_gradients(grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``grad^T x`` (C', C) and the sum (C',) of rows (M, C') of ``grad``; ``x`` are rows (M, C).

    The kernel computes both, so :func:`serves` must hold.
    """
    return _gradients(grad.contiguous(), x.contiguous())


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Return ``grad^T x`` (C', C) of rows (M, C') and (M, C), on any device."""
    return parameter_gradients(grad, x)[0] if serves(grad, x) else grad.t() @ x


def serves(grad: Tensor, x: Tensor) -> bool:
    """Return whether the kernel takes these rows here."""
    few = max(grad.shape[1], x.shape[1]) <= MOST
    return few and grad.dtype == x.dtype == torch.bfloat16 and grad.device.type == 'cpu' and is_there()


@cache
def is_there() -> bool:
    """Return whether this machine can compile the kernel and multiplies bfloat16."""
    return why_missing(SOURCE) is None and hasattr(library(SOURCE), 'gradients_bfloat16')


@torch.library.custom_op('vrtspike::linear_parameter_gradients', mutates_args=(), device_types='cpu')
def _gradients(grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    weight, bias = grad.new_empty(grad.shape[1], x.shape[1]), grad.new_empty(grad.shape[1])
    sizes = int64_array((len(grad), grad.shape[1], x.shape[1]))
    function_for(library(SOURCE), 'gradients', grad.dtype)(sizes, threads(), *pointers(grad, x, weight, bias))
    return weight, bias


@_gradients.register_fake
def _(grad, x):
    return grad.new_empty(grad.shape[1], x.shape[1]), grad.new_empty(grad.shape[1])


@register_flop_formula(torch.ops.vrtspike.linear_parameter_gradients)
def _(grad_shape, x_shape, *_, out_shape=None, **__) -> int:
    return 2 * math.prod(grad_shape) * x_shape[1]
