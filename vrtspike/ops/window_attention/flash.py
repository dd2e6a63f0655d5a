"""Fused window attention for GPUs: shift, partition, bias, mask, softmax and merge in one Triton kernel.

Every kernel is an operator of PyTorch, so that compilers and counters see what it reads and writes. Shapes: map
(B, T, H, W, C); bias and statistics are those of the kernels, see ``triton_kernels.py``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

from vrtspike.ops.triton_support import precision_of, rounded_to
from vrtspike.ops.window_attention import tilings
from vrtspike.ops.window_attention.tilings import Constants, Tiling, launch, padded, tilings_by_keys, tilings_by_queries
from vrtspike.ops.window_attention.windows import (
    MASKED,
    Settings,
    Window,
    cached,
    index_by_key,
    relative_position_index,
)

SPLITS = 16
"""Partial sums of the bias gradient, each over a share of the windows."""
SETTINGS = 'int[] window, int[] shift, int heads, bool mutual, float scale'
"""The last arguments of every operator, in PyTorch's schemas: a :class:`Settings`."""


def flash(qkv: Tensor, bias_table: Tensor | None, settings: Settings) -> Tensor:
    """Attend in the windows of a map (B, T, H, W, 3*C) without scores or shifted copies in memory."""
    bias = None if bias_table is None else padded_bias(bias_table, settings)
    return _forward(qkv.contiguous(), bias, *settings)[0]


def padded_bias(table: Tensor, settings: Settings) -> Tensor:
    """Return the bias (heads, NP queries, NP keys) divided by the scale; it is -inf for keys that pad."""
    return _PaddedBias.apply(table.float(), settings.window, settings.scale)


class _PaddedBias(torch.autograd.Function):
    """One gather; its gradient is one scatter of rows."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, window: Window, scale: float) -> Tensor:
        ctx.size, ctx.window, ctx.scale = table.shape, window, scale
        numbers = torch.cat((table.flatten() / scale, _fillers(table.device)))
        return numbers[_places(window, table.shape[1], table.device)]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        tokens = math.prod(ctx.window)
        by_pair = grad[:, :tokens, :tokens].permute(2, 1, 0).flatten(0, 1)
        index = index_by_key(ctx.window, grad.device)
        return grad.new_zeros(ctx.size).index_add_(0, index, by_pair, alpha=1 / ctx.scale), None, None


@cached
def _places(window: Window, heads: int, device: torch.device) -> Tensor:
    """Return where the padded bias (heads, NP, NP) finds its numbers: in the table's, or after them in the fillers."""
    index = relative_position_index(window, device)
    places = index * heads + torch.arange(heads, device=device)[:, None, None]
    missing, end = padded(len(index)) - len(index), math.prod(2 * length - 1 for length in window) * heads
    return F.pad(F.pad(places, (0, missing), value=end), (0, 0, 0, missing), value=end + 1)


@cached
def _fillers(device: torch.device) -> Tensor:
    """Return the bias of a key that pads, and that of a query that pads."""
    return torch.tensor([-math.inf, 0.0], device=device)


@torch.library.custom_op(
    'vrtspike::flash_attention', mutates_args=(), schema=f'(Tensor qkv, Tensor? bias, {SETTINGS}) -> (Tensor, Tensor)'
)
def _forward(qkv, bias, *settings):
    """Return the attended values (B, T, H, W, C) and the log-sum-exps of the scores."""
    from vrtspike.ops.window_attention import triton_kernels as kernels

    settings = Settings(*settings)
    out, lse = _results(qkv, settings)
    _by_queries(kernels.forward_kernel, (qkv, bias, out, lse), (), settings, tilings.FORWARD)
    return out, lse


@_forward.register_fake
def _(qkv, bias, *settings):
    return _results(qkv, Settings(*settings))


@torch.library.custom_op(
    'vrtspike::flash_attention_backward_queries',
    mutates_args=('grad_q',),
    schema=f'(Tensor qkv, Tensor? bias, Tensor grad, Tensor lse, Tensor(a!) grad_q, {SETTINGS}) -> Tensor',
)
def _backward_queries(qkv, bias, grad, lse, grad_q, *settings):
    """Write the gradient of the queries into a slice of that of ``qkv``; return their mean gradients."""
    from vrtspike.ops.window_attention import triton_kernels as kernels

    settings = Settings(*settings)
    delta = torch.empty_like(lse)
    tensors, scales = (qkv, bias, grad, lse, grad_q, delta), (settings.scale,)
    _by_queries(kernels.backward_queries_kernel, tensors, scales, settings, tilings.BACKWARD)
    return delta


@_backward_queries.register_fake
def _(qkv, bias, grad, lse, grad_q, *settings):
    return torch.empty_like(lse)


@torch.library.custom_op(
    'vrtspike::flash_attention_backward_keys',
    mutates_args=('grad_kv',),
    schema='(Tensor qkv, Tensor? bias, Tensor grad, Tensor lse, Tensor delta, Tensor(a!) grad_kv, bool sums_bias, '
    f'{SETTINGS}) -> Tensor',
)
def _backward_keys(qkv, bias, grad, lse, delta, grad_kv, sums_bias, *settings):
    """Write the gradients of keys and values into a slice of that of ``qkv``; return partial sums of the bias's."""
    from vrtspike.ops.window_attention import triton_kernels as kernels

    settings = Settings(*settings)
    partial = _partial(lse, sums_bias)
    splits = min(SPLITS, len(lse)) if sums_bias else len(lse)
    constants = _constants(qkv, bias, settings)._replace(TRAINS_BIAS=sums_bias)

    def programs(tiling: Tiling) -> int:
        return settings.heads * settings.frames * (constants.NP // tiling.keys) * splits

    tensors = (qkv, bias, grad, lse, delta, grad_kv, partial)
    arguments = (*tensors, len(lse), splits, *qkv.shape[1:4], settings.scale, *_factors(settings.scale))
    tilings_ = tilings_by_keys(constants.N, qkv.dtype, sums_bias=sums_bias)
    launch(kernels.backward_keys_kernel, programs, arguments, constants, tilings_)
    return partial


@_backward_keys.register_fake
def _(qkv, bias, grad, lse, delta, grad_kv, sums_bias, *settings):
    return _partial(lse, sums_bias)


def _save(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    qkv, bias, *settings = inputs
    ctx.save_for_backward(qkv, bias, output[1])
    ctx.settings = settings


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple:
    qkv, bias, lse = ctx.saved_tensors
    channels = grad.shape[-1]
    inputs, grad_qkv = (qkv, bias, grad.contiguous(), lse), torch.empty_like(qkv)
    delta = _backward_queries(*inputs, grad_qkv[..., :channels], *ctx.settings)
    sums_bias = bias is not None and ctx.needs_input_grad[1]
    partial = _backward_keys(*inputs, delta, grad_qkv[..., channels:], sums_bias, *ctx.settings)
    grad_bias = partial.sum(0) * ctx.settings[-1] if sums_bias else None
    return grad_qkv, grad_bias, *(None,) * 5


_forward.register_autograd(_gradients, setup_context=_save)


def _products(count: int):
    """Return the formula of a kernel with ``count`` products of scores' size for each head."""

    def flops(qkv_shape, bias_shape, *arguments, out_shape=None, **kwargs) -> int:
        window, mutual = arguments[-5], arguments[-2]
        tokens, channels = math.prod(qkv_shape[:-1]), qkv_shape[-1] // 3
        return 2 * count * tokens * channels * math.prod(window) // (window[0] if mutual else 1)

    return flops


for _name, _count in (('', 2), ('_backward_queries', 4), ('_backward_keys', 4)):
    register_flop_formula(getattr(torch.ops.vrtspike, f'flash_attention{_name}'))(_products(_count))


def _by_queries(kernel: Any, tensors: tuple, scales: tuple, settings: Settings, together: tilings.Windows) -> None:
    """Launch a kernel whose programs own a block of queries in several windows."""
    qkv, bias, *_ = tensors
    constants = _constants(qkv, bias, settings)
    windows = _windows(qkv, settings)

    def programs(tiling: Tiling) -> int:
        groups = math.ceil(windows / tiling.windows)
        return settings.heads * settings.frames * (constants.NP // tiling.queries) * groups

    arguments = (*tensors, windows, *qkv.shape[1:4], *scales, *_factors(settings.scale))
    launch(kernel, programs, arguments, constants, tilings_by_queries(constants.N, qkv.dtype, together))


def _results(qkv: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """Return empty tensors for the attended values, and for a number per query."""
    statistics = (_windows(qkv, settings), settings.heads, settings.frames, padded(math.prod(settings.group)))
    out = qkv.new_empty((*qkv.shape[:-1], qkv.shape[-1] // 3))
    return out, qkv.new_empty(statistics, dtype=torch.float32)


def _partial(lse: Tensor, sums_bias: bool) -> Tensor:
    windows, heads, _, tokens = lse.shape
    return lse.new_empty((min(SPLITS, windows), heads, tokens, tokens) if sums_bias else 0)


def _windows(qkv: Tensor, settings: Settings) -> int:
    return qkv.shape[:-1].numel() // math.prod(settings.window)


def _factors(scale: float) -> tuple[float, float]:
    """Return what makes scores exponents of 2, and what the mask adds to scores before that."""
    return scale * math.log2(math.e), MASKED / scale


def _constants(qkv: Tensor, bias: Tensor | None, settings: Settings) -> Constants:
    width, tokens, shift = qkv.shape[-1] // 3, math.prod(settings.group), settings.shift
    d = width // settings.heads
    return Constants(
        *settings.window,
        *shift,
        SHIFTED=any(shift[1:] if settings.mutual else shift),
        HEADS=settings.heads,
        N=tokens,
        NP=padded(tokens),
        D=d,
        BD=max(16, 1 << (d - 1).bit_length()),
        WIDTH=width,
        FRAMES=settings.frames,
        MUTUAL=settings.mutual,
        BIAS=bias is not None,
        PRECISION=precision_of(qkv),
        ROUNDED=rounded_to(qkv.dtype),
    )
