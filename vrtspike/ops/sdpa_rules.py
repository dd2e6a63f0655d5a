"""Which kernel PyTorch's ``scaled_dot_product_attention`` runs on an NVIDIA GPU: its rules, as functions of numbers.

The rules are those of PyTorch 2.11 to 2.13 for dense tensors, compute capability 7.0 and above, and heads of up to 128
channels. A mask that is not aligned is no reason to refuse: PyTorch pads it itself.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import torch

HALF = (torch.float16, torch.bfloat16)

PREFERS_CUDNN = ((9, 0), (10, 0), (10, 3))
"""Compute capabilities for which PyTorch tries cuDNN first."""

NEWER_THAN_CUDNN = 91500
"""PyTorch does so with a cuDNN newer than this; its own packages bring one since PyTorch 2.11."""

HOPPER = (9, 0)

WRONG_SINCE_TORCH = (2, 11)
"""Since then, cuDNN's backward pass on Hopper may return NaN with a mask and N % 128 = 64 (pytorch issue 196678).

PyTorch's fix waits for cuDNN 9.26, but a newer one was reported to fail too, so no version ends our refusal yet.
"""


class Kernel(Enum):
    """The kernels of ``scaled_dot_product_attention``; MATH keeps all scores in memory, in float32 for 16 bits."""

    CUDNN = 'cuDNN'
    FLASH = 'flash'
    EFFICIENT = 'memory-efficient'
    MATH = 'math'


class Gpu(NamedTuple):
    """A GPU and the versions that PyTorch's choice depends on."""

    capability: tuple[int, int]
    torch: tuple[int, int]
    cudnn: int
    """As ``torch.backends.cudnn.version()``: 92000 is 9.20."""


class AttentionCall(NamedTuple):
    """What the choice of a kernel depends on in one call."""

    dtype: torch.dtype
    """In which the call computes, that is, under autocast the type it casts to."""
    head_dim: int
    tokens: int
    """N, of queries and keys."""
    mask: bool
    mask_trained: bool
    """Whether the mask needs a gradient."""
    trained: bool
    """Whether queries, keys or values need a gradient."""


def kernel_of(call: AttentionCall, gpu: Gpu) -> Kernel:
    """Return the kernel that PyTorch runs: the first in its order that does not refuse the call."""
    return next(kernel for kernel in priority(gpu) if refusal(kernel, call, gpu) is None)


def priority(gpu: Gpu) -> tuple[Kernel, ...]:
    """Return the order in which PyTorch tries the kernels."""
    usual = (Kernel.FLASH, Kernel.EFFICIENT, Kernel.MATH)
    prefers_cudnn = gpu.capability in PREFERS_CUDNN and gpu.cudnn > NEWER_THAN_CUDNN
    return (Kernel.CUDNN, *usual) if prefers_cudnn else (*usual, Kernel.CUDNN)


def refusal(kernel: Kernel, call: AttentionCall, gpu: Gpu) -> str | None:
    """Return why PyTorch does not run ``kernel`` for the call, or None if it may."""
    if kernel is Kernel.MATH:
        return None
    if kernel is Kernel.EFFICIENT:
        if call.dtype not in (torch.float32, *HALF) or (call.dtype is torch.bfloat16 and gpu.capability < (8, 0)):
            return f'does not compute in {_name(call.dtype)}'
        step = alignment(call.dtype) if gpu.capability >= (8, 0) or call.dtype in HALF else 1
        return _misaligned(call.head_dim, step)
    if call.dtype not in HALF:
        return f'does not compute in {_name(call.dtype)}'
    if gpu.capability < (8, 0):
        return 'needs compute capability 8.0'
    if kernel is Kernel.FLASH:  # it pads the heads itself
        return 'takes no mask' if call.mask else None
    if call.mask_trained:
        return 'takes no mask that needs a gradient'
    return _misaligned(call.head_dim, alignment(call.dtype))


def wrong_gradient(kernel: Kernel, call: AttentionCall, gpu: Gpu) -> str | None:
    """Return why ``kernel`` must not run though PyTorch would: its gradients may be wrong. None if they are right."""
    affected = gpu.capability == HOPPER and gpu.torch >= WRONG_SINCE_TORCH
    if kernel is Kernel.CUDNN and affected and call.trained and call.mask and call.tokens % 128 == 64:
        return f'may return NaN gradients for {call.tokens} tokens with a mask'
    return None


def misses_statistics(kernel: Kernel, call: AttentionCall) -> bool:
    """Return whether the backward pass would read statistics that the forward pass did not save.

    PyTorch saves them if queries, keys or values need a gradient. If only the mask does, the memory-efficient kernel
    reads invalid memory (pytorch pull request 188302, of June 2026, mends it).
    """
    return kernel is Kernel.EFFICIENT and call.mask_trained and not call.trained


def alignment(dtype: torch.dtype) -> int:
    """Return what must divide the channels of a head, so that rows start at multiples of 16 bytes."""
    return max(1, 16 // dtype.itemsize)


def aligned(head_dim: int, dtype: torch.dtype) -> int:
    """Return the smallest number of channels of a head, at least ``head_dim``, that every fused kernel takes."""
    step = alignment(dtype)
    return -(-head_dim // step) * step


def _misaligned(head_dim: int, step: int) -> str | None:
    return f'needs heads of a multiple of {step} channels, not {head_dim}' if head_dim % step else None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix('torch.')
