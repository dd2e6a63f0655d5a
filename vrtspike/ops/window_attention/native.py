"""Window attention on CPUs with our own kernel (``cpu_kernel/``), forward and backward, without scores in memory."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.native.build import Kernel, library, why_missing
from vrtspike.native.calls import function_for, int64_array, pointers, threads
from vrtspike.ops.window_attention.layout import WindowKind
from vrtspike.ops.window_attention.sdpa import sdpa
from vrtspike.ops.window_attention.windows import Settings, Window, cached, window_regions

SOURCE = Path(__file__).with_name('cpu_kernel') / 'kernel.cpp'
DTYPES = (torch.float32, torch.bfloat16)
WIDTHS = (4, 8, 12, 16, 20, 24, 28, 32, 48, 64, 96, 128)
"""Channels per head that have a kernel; other heads use the next wider one."""


def kernel_of(channels: int) -> Kernel:
    """Return the kernel of heads with this number of channels. Each takes two seconds to compile, all take thirty."""
    return Kernel(SOURCE, (f'WIDTH={next(width for width in WIDTHS if channels <= width)}',))


ANY = kernel_of(1)
"""The kernel that tells whether this machine can compile and run them."""
missing = partial(why_missing, ANY.source, *ANY.macros)


def kernels_for(channels: int) -> tuple[Kernel, ...]:
    """Return all kernels that heads with this number of channels need."""
    return (ANY, kernel_of(channels)) if channels <= WIDTHS[-1] else ()


def native(qkv: Tensor, bias: Tensor | None, settings: Settings, kinds: Sequence[WindowKind]) -> Tensor:
    """Attend in windows (M, N, 3*C) without scores in memory: sums are in float32, the result has the tokens' type.

    For heads with more than 128 channels it calls :func:`~vrtspike.ops.window_attention.sdpa.sdpa`.
    """
    if qkv.shape[-1] // 3 // settings.heads > WIDTHS[-1]:
        return sdpa(qkv, bias, settings, kinds)
    stride = _whole_vectors(math.prod(settings.group))
    if bias is not None:
        bias = _padded(bias.float().transpose(1, 2), stride).contiguous()
    labels = _labels(settings.group, settings.shift, stride)
    numbers = _kind_numbers(tuple(kinds), settings.mutual)
    trains = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (qkv, bias))
    return _attend(qkv.contiguous(), bias, labels, numbers, settings.heads, settings.frames, settings.scale, trains)[0]


@torch.library.custom_op('vrtspike::window_attention', mutates_args=(), device_types='cpu')
def _attend(
    qkv: Tensor, bias: Tensor | None, labels: Tensor, kinds: Tensor, heads: int, frames: int, scale: float, trains: bool
) -> tuple[Tensor, Tensor]:
    """Return attended values (M, N, C) and, for the backward pass, log-sum-exps of scores (M, frames, heads, n).

    Args:
        qkv: Tokens (M, N, 3*C), N = frames*n.
        bias: (heads, n keys, stride), queries last, zero beyond n.
        labels: (8, stride): the region of every token of a frame, by kind.
        kinds: (M,): the number of the kind of every window.
        heads: Number of heads.
        frames: Frames that swap queries, or 1.
        scale: Factor on the scores.
        trains: Whether there will be a backward pass.
    """
    out = qkv.new_empty((*qkv.shape[:2], qkv.shape[2] // 3))
    sums = torch.empty(_sums_shape(qkv, heads, frames) if trains else 0)
    inputs = (qkv, bias, labels, kinds)
    _call('forward', qkv, heads, frames, scale, (), *inputs, out, sums if trains else None)
    return out, sums


@_attend.register_fake
def _(qkv, bias, labels, kinds, heads, frames, scale, trains):
    out = qkv.new_empty((*qkv.shape[:2], qkv.shape[2] // 3))
    return out, qkv.new_empty(_sums_shape(qkv, heads, frames) if trains else 0, dtype=torch.float32)


@torch.library.custom_op('vrtspike::window_attention_backward', mutates_args=(), device_types='cpu')
def _backward(
    qkv: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    kinds: Tensor,
    sums: Tensor,
    grad: Tensor,
    heads: int,
    frames: int,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of ``qkv`` and ``bias``; without a bias, its gradient is empty."""
    threads = torch.get_num_threads()
    splits = min(len(qkv), threads // math.gcd(threads, heads))
    grad_qkv = torch.empty_like(qkv)
    grad_bias = torch.zeros(0 if bias is None else (splits, *bias.shape))
    results = (grad_qkv, None if bias is None else grad_bias)
    inputs = (qkv, bias, labels, kinds, sums, grad)
    _call('backward', qkv, heads, frames, scale, (ctypes.c_int64(splits),), *inputs, *results)
    return grad_qkv, grad_bias if bias is None else grad_bias.sum(0)


@_backward.register_fake
def _(qkv, bias, labels, kinds, sums, grad, heads, frames, scale):
    return torch.empty_like(qkv), qkv.new_empty(0 if bias is None else bias.shape, dtype=torch.float32)


def _save(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    *tensors, heads, frames, scale, _ = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.settings = (heads, frames, scale)


def _gradients(ctx, grad: Tensor, _: Tensor) -> tuple:
    qkv, bias, *others = ctx.saved_tensors
    grad_qkv, grad_bias = _backward(qkv, bias, *others, grad.contiguous(), *ctx.settings)
    return grad_qkv, None if bias is None else grad_bias, *(None,) * 6


_attend.register_autograd(_gradients, setup_context=_save)


def _sums_shape(qkv: Tensor, heads: int, frames: int) -> tuple[int, ...]:
    return len(qkv), frames, heads, qkv.shape[1] // frames


def _call(name: str, qkv: Tensor, heads: int, frames: int, scale: float, more: tuple, *tensors: Tensor | None) -> None:
    """Call the function ``name`` of the library for the type of ``qkv``."""
    windows, tokens, channels = qkv.shape
    n = tokens // frames
    sizes = (windows, frames, n, heads, channels // 3 // heads, _whole_vectors(n))
    kernel = kernel_of(channels // 3 // heads)
    function = function_for(library(kernel.source, *kernel.macros), name, qkv.dtype)
    function(int64_array(sizes), ctypes.c_float(scale), threads(), *more, *pointers(*tensors))


def _whole_vectors(n: int) -> int:
    lanes = library(ANY.source, *ANY.macros).lanes()
    return -(-n // lanes) * lanes


@cached
def _labels(window: Window, shift: Window, stride: int) -> Tensor:
    """Return (8, stride): the region of every token, by the kind of its window as :func:`_kind_numbers` numbers it."""
    mixed = [(bool(kind & 4), bool(kind & 2), bool(kind & 1)) for kind in range(8)]
    regions = torch.stack([window_regions(axes, window, shift) for axes in mixed]).float()
    return _padded(regions, stride)


def _padded(x: Tensor, stride: int) -> Tensor:
    """Return ``x`` with zeros up to ``stride`` on its last axis, or ``x`` itself if it has that length."""
    missing = stride - x.shape[-1]
    return F.pad(x, (0, missing)) if missing else x


@partial(cached, entries=64)
def _kind_numbers(kinds: tuple[WindowKind, ...], mutual: bool) -> Tensor:
    """Return (M,): the number of the kind of every window; mutual attention has no mask along time."""
    numbers = [(0 if mutual else 4 * t) + 2 * h + w for (t, h, w), _ in kinds]
    counts = torch.tensor([kind.count for kind in kinds])
    return torch.tensor(numbers, dtype=torch.int32).repeat_interleave(counts)
