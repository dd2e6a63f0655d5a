"""Fused window attention for GPUs: shift, partition, bias, mask, softmax and merge in one Triton kernel."""

from __future__ import annotations

import math
import os
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.window_attention.windows import Settings, Window, cached_relative_position_index

DTYPES = (torch.float32, torch.float16, torch.bfloat16)

BLOCK = 64
"""Number of queries, and of keys, in one block of scores."""

SPLITS = 32
"""Partial sums of the bias gradient, each over a share of the windows."""


@lru_cache(maxsize=1)
def missing() -> str | None:
    """Return why the kernels cannot be used here, or None."""
    try:
        import triton  # noqa: F401
    except ImportError as error:
        return f'needs triton: {error}'
    return None


def devices() -> tuple[str, ...]:
    """Return the devices that the kernels run on; CPUs only in Triton's interpreter, for tests."""
    return ('cuda', 'cpu') if os.environ.get('TRITON_INTERPRET') == '1' else ('cuda',)


def flash(qkv: Tensor, bias_table: Tensor | None, settings: Settings) -> Tensor:
    """Attend in the windows of a map (B, T, H, W, 3*C) without scores or shifted copies in memory."""
    return _Flash.apply(qkv.contiguous(), bias_table, settings)


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv: Tensor, table: Tensor | None, settings: Settings) -> Tensor:
        from vrtspike.ops.window_attention import triton_kernels as kernels

        out = qkv.new_empty((*qkv.shape[:-1], qkv.shape[-1] // 3))
        lse = qkv.new_empty((*qkv.shape[:-1], settings.heads), dtype=torch.float32)
        table = None if table is None else table.contiguous()
        sizes, constants = _sizes(qkv, settings), _constants(qkv, table, settings)
        kernels.forward_kernel[_grid(qkv, settings)](qkv, table, out, lse, *sizes, **constants)
        ctx.save_for_backward(qkv, table, lse)
        ctx.settings = settings
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        from vrtspike.ops.window_attention import triton_kernels as kernels

        qkv, table, lse = ctx.saved_tensors
        delta, grad_qkv = torch.empty_like(lse), torch.empty_like(qkv)
        inputs = (qkv, table, grad.contiguous(), lse, delta)
        sizes, constants = _sizes(qkv, ctx.settings), _constants(qkv, table, ctx.settings)
        grid = _grid(qkv, ctx.settings)
        kernels.mean_gradient_kernel[grid](*inputs, *sizes, **constants)
        for queries in (True, False):
            kernels.backward_kernel[grid](*inputs, grad_qkv, *sizes, **constants, QUERIES=queries)
        wanted = table is not None and ctx.needs_input_grad[1]
        return grad_qkv, _table_gradient(inputs, ctx.settings) if wanted else None, None


def _table_gradient(inputs: tuple, settings: Settings) -> Tensor:
    """Return the gradient of the bias table ((2t-1)*(2h-1)*(2w-1), heads)."""
    from vrtspike.ops.window_attention import triton_kernels as kernels

    qkv, table = inputs[:2]
    n, windows = math.prod(settings.group), _windows(qkv, settings.window)
    splits = min(SPLITS, windows)
    partial = torch.empty(splits, settings.heads, n, n, dtype=torch.float32, device=qkv.device)
    constants = _constants(qkv, table, settings)
    for name in ('FRAMES', 'MUTUAL', 'BIAS'):
        del constants[name]
    grid = (math.ceil(n / BLOCK) ** 2, settings.heads, splits)
    kernels.bias_gradient_kernel[grid](*inputs, partial, windows, *_sizes(qkv, settings), **constants, SPLITS=splits)
    index = cached_relative_position_index(settings.window, qkv.device).flatten()
    summed = partial.sum(0).flatten(1).t()  # (N*N, heads)
    return torch.zeros_like(table, dtype=torch.float32).index_add_(0, index, summed).to(table.dtype)


def _grid(qkv: Tensor, settings: Settings) -> tuple[int, int, int]:
    """Return the grid of a kernel: windows, blocks of queries or keys, heads x frames."""
    blocks = math.ceil(math.prod(settings.group) / BLOCK)
    return _windows(qkv, settings.window), blocks, settings.heads * settings.frames


def _windows(qkv: Tensor, window: Window) -> int:
    return qkv.shape[:-1].numel() // math.prod(window)


def _sizes(qkv: Tensor, settings: Settings) -> tuple:
    return (*qkv.shape[1:4], settings.heads, settings.scale)


def _constants(qkv: Tensor, table: Tensor | None, settings: Settings) -> dict:
    """Return the constants that the kernels are compiled for."""
    d = qkv.shape[-1] // 3 // settings.heads
    tf32 = qkv.device.type == 'cuda' and torch.backends.cuda.matmul.allow_tf32
    return dict(
        **dict(zip(('WT', 'WH', 'WW'), settings.window, strict=True)),
        **dict(zip(('ST', 'SH', 'SW'), settings.shift, strict=True)),
        N=math.prod(settings.group),
        D=d,
        BD=max(16, 1 << (d - 1).bit_length()),
        BM=BLOCK,
        BN=BLOCK,
        FRAMES=settings.frames,
        MUTUAL=settings.mutual,
        BIAS=table is not None,
        PRECISION='tf32' if tf32 else 'ieee',
    )
