"""Fused window attention for GPUs: shift, partition, biases, mask, softmax and merge in one Triton kernel.

Every kernel is an operator of PyTorch, so that compilers and counters see what it reads and writes. Shapes: map
(B, T, H, W, C); bias and statistics are those of the kernels, see ``triton_kernels.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

from vrtspike.ops.triton_support import precision_of, rounded_to
from vrtspike.ops.window_attention.tiles import masks, padded_bias, table_gradient, transposed
from vrtspike.ops.window_attention.tilings import (
    Constants,
    Tiling,
    block_of_queries,
    launch,
    padded,
    tilings_by_keys,
    tilings_of_backward,
    tilings_of_forward,
)
from vrtspike.ops.window_attention.windows import Settings

SPLITS = 16
"""Partial sums of the bias gradient, each over a share of the windows."""
SPLITS_OF_ROWS = 64
"""The same of the gradient of rows that are added to queries, keys and values."""
SETTINGS = 'int[] window, int[] shift, int heads, bool mutual, float scale'
"""The last arguments of every operator, in PyTorch's schemas: a :class:`Settings`."""


class Attention(NamedTuple):
    """One of the attentions of :func:`flash_together`."""

    settings: Settings
    bias_table: Tensor | None = None
    qkv_bias: Tensor | None = None
    """(3*C,): the bias that queries, keys and values have from the layer that made them. It changes no value here, but
    its gradient is summed while theirs are written; it must get none from that layer. None: no such gradient."""
    added: Tensor | None = None
    """Rows (N, 3*C) that are added to queries, keys and values: for each of the N tokens of a window, in mutual
    attention of a frame of it. None is nothing."""
    slot: int = 0
    """The place of its result among the results."""


def flash(qkv: Tensor, bias_table: Tensor | None, settings: Settings) -> Tensor:
    """Attend in the windows of a map (B, T, H, W, 3*C) without scores or shifted copies in memory."""
    return flash_together(qkv, [Attention(settings, bias_table)])


def flash_together(qkv: Tensor, attentions: Sequence[Attention]) -> Tensor:
    """Attend several times in the windows of a map.

    Args:
        qkv: Queries, keys and values of all attentions beside each other (B, T, H, W, K*3*C).
        attentions: K of them. All have C channels.

    Returns:
        The attended values beside each other (B, T, H, W, K*C).
    """
    tensors = [tensor for each in attentions for tensor in (each.bias_table, each.qkv_bias, each.added)]
    return _Together.apply(qkv.contiguous(), [(each.settings, each.slot) for each in attentions], *tensors)


class _Together(torch.autograd.Function):
    """Takes the tensors of every :class:`Attention` after the map."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, calls: list[tuple[Settings, int]], *tensors: Tensor | None) -> Tensor:
        out = qkv.new_empty((*qkv.shape[:-1], qkv.shape[-1] // 3))
        maps, results = qkv.chunk(len(calls), -1), out.chunk(len(calls), -1)
        saved = []
        for part, table, added, (settings, slot) in zip(maps, tensors[::3], tensors[2::3], calls, strict=True):
            bias = None if table is None else padded_bias(table, settings)
            added = None if added is None else added.contiguous()
            saved += [bias, added, _forward(part, bias, added, results[slot], *settings)]
        ctx.save_for_backward(qkv, *saved)
        ctx.calls = calls
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, *saved = ctx.saved_tensors
        count, found = len(ctx.calls), []
        grad_qkv = torch.empty_like(qkv)
        slots = grad.contiguous().chunk(count, -1)
        maps = zip(qkv.chunk(count, -1), grad_qkv.chunk(count, -1), strict=True)
        for i, ((part, grad_part), (settings, slot)) in enumerate(zip(maps, ctx.calls, strict=True)):
            bias, added, lse = saved[3 * i : 3 * i + 3]
            trained = ctx.needs_input_grad[2 + 3 * i : 5 + 3 * i]
            found += _gradients((part, bias, added, slots[slot], lse), grad_part, settings, trained)
        return grad_qkv, None, *found


def _gradients(
    inputs: tuple, grad_qkv: Tensor, settings: Settings, trained: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Write the gradient of queries, keys and values; return those of bias table, bias and added rows if trained."""
    qkv, bias, added, *rest = inputs
    trains_table, trains_bias, _ = trained
    channels = qkv.shape[-1] // 3
    nothing = qkv.new_empty(0, dtype=torch.float32)
    sums = nothing if added is None and not trains_bias else _sums(qkv, added, settings)
    delta = _backward_queries(*inputs, grad_qkv[..., :channels], sums, *settings)
    of_keys = nothing if added is None else sums[..., channels:]
    by_keys = None if bias is None else transposed(bias)
    partial = _backward_keys(
        qkv, by_keys, added, *rest, delta, grad_qkv[..., channels:], of_keys, trains_table, *settings
    )
    of_rows = None if sums is nothing else sums.sum(0)
    return (
        table_gradient(partial.sum(0), settings.window) if trains_table else None,
        of_rows.sum(0) if trains_bias and added is not None else of_rows[0] if trains_bias else None,
        None if added is None else of_rows,
    )


@torch.library.custom_op(
    'vrtspike::flash_attention',
    mutates_args=('out',),
    schema=f'(Tensor qkv, Tensor? bias, Tensor? added, Tensor(a!) out, {SETTINGS}) -> Tensor',
)
def _forward(qkv, bias, added, out, *settings):
    """Write the attended values (B, T, H, W, C), a slice of the results; return the log-sum-exps of the scores."""
    from vrtspike.ops.window_attention import triton_kernels as kernels

    settings = Settings(*settings)
    lse = _statistics(qkv, settings)
    constants = _constants(qkv, bias, added, settings)._replace(OUT_ROW=out.stride(-2))
    tensors = (qkv, bias, _masks(qkv, settings), added, out, lse)
    arguments = (*tensors, len(lse), *qkv.shape[1:4], _factor(settings.scale))
    _by_queries(kernels.forward_kernel, arguments, constants, tilings_of_forward(constants, qkv.dtype))
    return lse


@_forward.register_fake
def _(qkv, bias, added, out, *settings):
    return _statistics(qkv, Settings(*settings))


@torch.library.custom_op(
    'vrtspike::flash_attention_backward_queries',
    mutates_args=('grad_q', 'sums'),
    schema='(Tensor qkv, Tensor? bias, Tensor? added, Tensor grad, Tensor lse, Tensor(a!) grad_q, Tensor(b!) sums, '
    f'{SETTINGS}) -> Tensor',
)
def _backward_queries(qkv, bias, added, grad, lse, grad_q, sums, *settings):
    """Write the gradient of the queries into a slice of that of ``qkv``, and their part of the ``sums``.

    Return their negative mean gradients.
    """
    from vrtspike.ops.window_attention import triton_kernels as kernels

    settings = Settings(*settings)
    delta = torch.empty_like(lse)
    constants = _constants(qkv, bias, added, settings)._replace(OUT_ROW=grad.stride(-2))
    if len(sums) and added is None:
        constants = constants._replace(SUMS='row')
    splits = None if added is None else min(SPLITS_OF_ROWS, len(lse))
    tensors = (qkv, bias, _masks(qkv, settings), added, grad, lse, grad_q, delta, sums)
    arguments = (*tensors, len(lse), splits, *qkv.shape[1:4], settings.scale, _factor(settings.scale))
    tilings = tilings_of_backward(constants, qkv.dtype)
    _by_queries(kernels.backward_queries_kernel, arguments, constants, tilings, splits)
    return delta


@_backward_queries.register_fake
def _(qkv, bias, added, grad, lse, grad_q, sums, *settings):
    return torch.empty_like(lse)


@torch.library.custom_op(
    'vrtspike::flash_attention_backward_keys',
    mutates_args=('grad_kv', 'sums'),
    schema='(Tensor qkv, Tensor? bias, Tensor? added, Tensor grad, Tensor lse, Tensor delta, Tensor(a!) grad_kv, '
    f'Tensor(b!) sums, bool sums_bias, {SETTINGS}) -> Tensor',
)
def _backward_keys(qkv, bias, added, grad, lse, delta, grad_kv, sums, sums_bias, *settings):
    """Write the gradients of keys and values into a slice of that of ``qkv``, and their part of the ``sums``.

    The rows of the bias are keys. Return partial sums of the bias's gradient, with rows of keys.
    """
    from vrtspike.ops.window_attention import triton_kernels as kernels

    settings = Settings(*settings)
    partial = _partial(lse, added, sums_bias)
    constants = _constants(qkv, bias, added, settings)._replace(OUT_ROW=grad.stride(-2), TRAINS_BIAS=sums_bias)
    splits = _splits(lse, added, sums_bias)

    def programs(tiling: Tiling) -> int:
        return settings.heads * settings.frames * (constants.NP // tiling.keys) * splits

    tensors = (qkv, bias, _masks(qkv, settings), added, grad, lse, delta, grad_kv, partial, sums)
    arguments = (*tensors, len(lse), splits, *qkv.shape[1:4], settings.scale, _factor(settings.scale))
    tilings = tilings_by_keys(constants, qkv.dtype)
    launch(kernels.backward_keys_kernel, programs, arguments, constants, tilings)
    return partial


@_backward_keys.register_fake
def _(qkv, bias, added, grad, lse, delta, grad_kv, sums, sums_bias, *settings):
    return _partial(lse, added, sums_bias)


def _products(count: int):
    """Return the formula of a kernel with ``count`` products of scores' size for each head."""

    def flops(qkv_shape, bias_shape, *arguments, out_shape=None, **kwargs) -> int:
        window, mutual = arguments[-5], arguments[-2]
        tokens, channels = math.prod(qkv_shape[:-1]), qkv_shape[-1] // 3
        return 2 * count * tokens * channels * math.prod(window) // (window[0] if mutual else 1)

    return flops


for _name, _count in (('', 2), ('_backward_queries', 4), ('_backward_keys', 4)):
    register_flop_formula(getattr(torch.ops.vrtspike, f'flash_attention{_name}'))(_products(_count))


def _by_queries(
    kernel: Any, arguments: tuple, constants: Constants, tilings: list[Tiling], groups: int | None = None
) -> None:
    """Launch a kernel whose programs own a block of queries in several windows, or in ``groups`` groups of windows."""
    qkv = arguments[0]
    windows = qkv.shape[:-1].numel() // (constants.WT * constants.WH * constants.WW)

    def programs(tiling: Tiling) -> int:
        count = math.ceil(windows / tiling.windows) if groups is None else groups
        return constants.HEADS * constants.FRAMES * (constants.NP // tiling.queries) * count

    launch(kernel, programs, arguments, constants, tilings)


def _statistics(qkv: Tensor, settings: Settings) -> Tensor:
    """Return an empty tensor for a number per query."""
    size = (_windows(qkv, settings), settings.heads, settings.frames, padded(math.prod(settings.group)))
    return qkv.new_empty(size, dtype=torch.float32)


def _windows(qkv: Tensor, settings: Settings) -> int:
    return qkv.shape[:-1].numel() // math.prod(settings.window)


def _partial(lse: Tensor, added: Tensor | None, sums_bias: bool) -> Tensor:
    _, heads, _, tokens = lse.shape
    return lse.new_empty((_splits(lse, added, sums_bias), heads, tokens, tokens) if sums_bias else 0)


def _splits(lse: Tensor, added: Tensor | None, sums_bias: bool) -> int:
    """Return over how many programs the windows of keys are split: all, if they sum nothing."""
    return min(SPLITS_OF_ROWS if added is not None else SPLITS if sums_bias else len(lse), len(lse))


def _sums(qkv: Tensor, added: Tensor | None, settings: Settings) -> Tensor:
    """Return an empty tensor for partial sums of the gradient of added rows (..., N, 3*C) or a bias (..., 1, 3*C)."""
    windows, tokens = _windows(qkv, settings), math.prod(settings.group)
    if added is not None:
        parts = min(SPLITS_OF_ROWS, windows)
    else:
        parts = windows * (padded(tokens) // block_of_queries(tokens, qkv.dtype))
    size = parts * settings.frames, 1 if added is None else tokens, qkv.shape[-1]
    return qkv.new_empty(size, dtype=torch.float32)


def _factor(scale: float) -> float:
    """Return what makes scores exponents of 2."""
    return scale * math.log2(math.e)


def _masks(qkv: Tensor, settings: Settings) -> Tensor | None:
    if not _is_shifted(settings):
        return None
    hashable = settings._replace(window=tuple(settings.window), shift=tuple(settings.shift))  # operators get lists
    return masks(hashable, qkv.device)


def _is_shifted(settings: Settings) -> bool:
    """Return whether a window may have several regions."""
    return any(settings.shift[1:] if settings.mutual else settings.shift)


def _constants(qkv: Tensor, bias: Tensor | None, added: Tensor | None, settings: Settings) -> Constants:
    width, tokens = qkv.shape[-1] // 3, math.prod(settings.group)
    d = width // settings.heads
    return Constants(
        *settings.window,
        *settings.shift,
        SHIFTED=_is_shifted(settings),
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
        ROW=qkv.stride(-2),
        OUT_ROW=width,
        SUMS='nothing' if added is None else 'rows',
    )
