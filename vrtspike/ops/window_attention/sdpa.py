"""Window attention by PyTorch's fused ``scaled_dot_product_attention``.

The bias is broadcast over windows. Only windows at the far end of a shifted axis hold two regions; the layout puts
alike windows side by side, at most eight kinds, and a mask of one window serves each kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vrtspike.ops.window_attention.blockwise import blockwise_attention
from vrtspike.ops.window_attention.layout import from_windows, to_windows, window_layout
from vrtspike.ops.window_attention.windows import Window, relative_position_bias

MAX_BATCH = 65_535
"""PyTorch's CUDA attention kernels fail at a batch of 65,536 or more."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def sdpa(
    qkv: Tensor, bias_table: Tensor | None, *, window: Window, shift: Window, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` without scores in memory or a mask for every window."""
    trained = torch.is_grad_enabled() and (qkv.requires_grad or (bias_table is not None and bias_table.requires_grad))
    attend = attention_function(qkv, trained)
    return by_windows(qkv, bias_table, window, shift, heads, mutual, scale, attend=attend)


def by_windows(
    qkv: Tensor,
    bias_table: Tensor | None,
    window: Window,
    shift: Window,
    heads: int,
    mutual: bool,
    scale: float,
    attend: Attend,
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` with one call of ``attend`` for all windows of a kind."""
    size = tuple(qkv.shape[1:4])
    layout = window_layout(size, window, shift, mutual, qkv.device)
    frames = window[0] if mutual else 1  # mutual attention works frame by frame
    windows = to_windows(qkv, layout, math.prod(window))
    bias = None if bias_table is None else relative_position_bias(bias_table, window)
    kinds = [
        attend_alike(
            windows[:, first:last].flatten(0, 1), added_to_scores(bias, mask), frames, heads, scale, attend
        ).unflatten(0, (-1, last - first))
        for first, last, mask in layout.blocks
    ]
    return from_windows(kinds[0] if len(kinds) == 1 else torch.cat(kinds, dim=1), layout, size)


def added_to_scores(bias: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Return what to add to the scores of alike windows, (1, heads or 1, N, N), or None for nothing.

    PyTorch's fused kernels on CPUs take a mask of two or four axes; with three they fall back without a word.
    """
    if mask is None:
        return None if bias is None else bias[None]
    return mask[None, None] if bias is None else (bias + mask)[None]


def attend_alike(
    windows: Tensor, added: Tensor | None, frames: int, heads: int, scale: float, attend: Attend
) -> Tensor:
    """Attend in windows (n, tokens, 3*C) that share what is added to their scores; return (n, tokens, C).

    With two ``frames`` in a window each one's keys and values meet the other's queries.
    """
    n, tokens, channels = windows.shape
    split = windows.reshape(n, frames, tokens // frames, 3, heads, channels // 3 // heads)
    q, k, v = split.permute(3, 0, 1, 4, 2, 5)  # each (n, frames, heads, N, channels per head)
    if frames > 1:
        q = q.flip(1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    parts = [
        attend(*part, added, scale)
        for part in zip(q.split(MAX_BATCH), k.split(MAX_BATCH), v.split(MAX_BATCH), strict=True)
    ]
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out.transpose(1, 2).reshape(n, tokens, channels // 3)


def attention_function(qkv: Tensor, trained: bool) -> Attend:
    """Return the fastest ``attend(q, k, v, added, scale)`` for a map.

    On CPUs PyTorch's fused kernel has no gradient for what is added to the scores and drops to a plain path that keeps
    them all, and in bfloat16 it is slower than in float32: there :func:`blockwise_attention` serves.
    """
    half = qkv.dtype in (torch.bfloat16, torch.float16)
    if qkv.device.type == 'cpu' and (trained or half) and not torch.compiler.is_compiling():
        return blockwise_attention
    return fused_attention


def fused_attention(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    """Attend by PyTorch's operator, whatever kernel it finds."""
    added = None if added is None else added.to(q.dtype)
    return scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)
