"""The fused window attention for GPUs: shift, partition, bias, mask, softmax and merge in one Triton kernel."""

from __future__ import annotations

import math
import os
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.window_attention.windows import Window, cached_relative_position_index

DTYPES = (torch.float32, torch.float16, torch.bfloat16)

BLOCK = 64
"""Queries, and keys, that a program holds at a time."""

SPLITS = 32
"""Parts that the windows are divided into for the bias gradient."""


@lru_cache(maxsize=1)
def missing() -> str | None:
    """Return why the kernels cannot be used here, or None."""
    try:
        import triton  # noqa: F401
    except ImportError as error:
        return f'needs triton: {error}'
    return None


def devices() -> tuple[str, ...]:
    """Return the devices the kernels run on: CPUs only in Triton's interpreter, which is for tests."""
    return ('cuda', 'cpu') if os.environ.get('TRITON_INTERPRET') == '1' else ('cuda',)


def flash(
    qkv: Tensor, bias_table: Tensor | None, *, window: Window, shift: Window, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` without scores or shifted copies in memory."""
    return _Flash.apply(qkv.contiguous(), bias_table, (window, shift, heads, mutual, scale))


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv: Tensor, table: Tensor | None, settings: tuple) -> Tensor:
        from vrtspike.ops.window_attention import triton_kernels as kernels

        window, _, heads, mutual, _ = settings
        out = qkv.new_empty((*qkv.shape[:-1], qkv.shape[-1] // 3))
        lse = qkv.new_empty((*qkv.shape[:-1], heads), dtype=torch.float32)
        table = None if table is None else table.contiguous()
        n = _tokens(window, mutual)
        grid = (_windows(qkv, window), math.ceil(n / BLOCK), heads * _frames(window, mutual))
        kernels.forward_kernel[grid](qkv, table, out, lse, *_sizes(qkv, settings), **_constants(qkv, table, settings))
        ctx.save_for_backward(qkv, table, lse)
        ctx.settings = settings
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        from vrtspike.ops.window_attention import triton_kernels as kernels

        qkv, table, lse = ctx.saved_tensors
        window, _, heads, mutual, _ = ctx.settings
        delta, grad_qkv = torch.empty_like(lse), torch.empty_like(qkv)
        inputs = (qkv, table, grad.contiguous(), lse, delta)
        sizes, constants = _sizes(qkv, ctx.settings), _constants(qkv, table, ctx.settings)
        grid = (_windows(qkv, window), math.ceil(_tokens(window, mutual) / BLOCK), heads * _frames(window, mutual))
        kernels.mean_gradient_kernel[grid](*inputs, *sizes, **constants)
        for queries in (True, False):
            kernels.backward_kernel[grid](*inputs, grad_qkv, *sizes, **constants, QUERIES=queries)
        wanted = table is not None and ctx.needs_input_grad[1]
        return grad_qkv, _table_gradient(inputs, ctx.settings) if wanted else None, None


def _table_gradient(inputs: tuple, settings: tuple) -> Tensor:
    """Return the gradient of the bias table ((2t-1)*(2h-1)*(2w-1), heads)."""
    from vrtspike.ops.window_attention import triton_kernels as kernels

    qkv, table = inputs[:2]
    window, _, heads, mutual, _ = settings
    n, windows = _tokens(window, mutual), _windows(qkv, window)
    splits = min(SPLITS, windows)
    partial = torch.empty(splits, heads, n, n, dtype=torch.float32, device=qkv.device)
    constants = _constants(qkv, table, settings)
    for name in ('FRAMES', 'MUTUAL', 'BIAS'):
        del constants[name]
    grid = (math.ceil(n / BLOCK) ** 2, heads, splits)
    kernels.bias_gradient_kernel[grid](*inputs, partial, windows, *_sizes(qkv, settings), **constants, SPLITS=splits)
    index = cached_relative_position_index(window, qkv.device).flatten()
    summed = partial.sum(0).flatten(1).t()  # (N*N, heads)
    return torch.zeros_like(table, dtype=torch.float32).index_add_(0, index, summed).to(table.dtype)


def _frames(window: Window, mutual: bool) -> int:
    return window[0] if mutual else 1


def _tokens(window: Window, mutual: bool) -> int:
    """Return how many tokens attend to each other."""
    return math.prod(window) // _frames(window, mutual)


def _windows(qkv: Tensor, window: Window) -> int:
    return qkv.shape[:-1].numel() // math.prod(window)


def _sizes(qkv: Tensor, settings: tuple) -> tuple:
    return (*qkv.shape[1:4], settings[2], settings[4])


def _constants(qkv: Tensor, table: Tensor | None, settings: tuple) -> dict:
    """Return what the kernels are compiled for."""
    window, shift, heads, mutual, _ = settings
    d = qkv.shape[-1] // 3 // heads
    tf32 = qkv.device.type == 'cuda' and torch.backends.cuda.matmul.allow_tf32
    return dict(
        **dict(zip(('WT', 'WH', 'WW'), window, strict=True)),
        **dict(zip(('ST', 'SH', 'SW'), shift, strict=True)),
        N=_tokens(window, mutual),
        D=d,
        BD=max(16, 1 << (d - 1).bit_length()),
        BM=BLOCK,
        BN=BLOCK,
        FRAMES=_frames(window, mutual),
        MUTUAL=mutual,
        BIAS=table is not None,
        PRECISION='tf32' if tf32 else 'ieee',
    )
