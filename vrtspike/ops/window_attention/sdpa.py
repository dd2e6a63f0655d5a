"""Window attention by PyTorch's fused ``scaled_dot_product_attention``.

The bias is broadcast over windows, and windows of one kind (:class:`WindowLayout`) share one mask, so that one call
serves each of at most eight kinds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vrtspike.ops.window_attention.layout import Mixed, WindowLayout
from vrtspike.ops.window_attention.windows import Window, relative_position_bias, window_mask

MAX_BATCH = 65_535
"""PyTorch's CUDA attention kernels fail at a batch of 65,536 or more."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def sdpa(
    qkv: Tensor, bias_table: Tensor | None, *, window: Window, shift: Window, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` without scores in memory or a mask for every window."""
    layout = WindowLayout(tuple(qkv.shape[:4]), window, shift)
    windows = sdpa_in_windows(layout.to_windows(qkv), bias_table, layout, heads=heads, mutual=mutual, scale=scale)
    return layout.to_map(windows)


def sdpa_in_windows(
    qkv: Tensor, bias_table: Tensor | None, layout: WindowLayout, *, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.attend_in_windows`."""
    return by_kinds(qkv, bias_table, layout, heads, mutual, scale, attend=fused_attention)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    """Attend by PyTorch's operator, whatever kernel it finds."""
    return scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)


def by_kinds(
    qkv: Tensor,
    bias_table: Tensor | None,
    layout: WindowLayout,
    heads: int,
    mutual: bool,
    scale: float,
    attend: Attend,
) -> Tensor:
    """Attend in windows (M, N, 3*C), ``attend(q, k, v, added, scale)`` doing so in those that share what is added."""
    bias = None if bias_table is None else relative_position_bias(bias_table, layout.window).to(qkv.dtype)
    mixed, counts = zip(*layout.kinds(mutual=mutual), strict=True)
    frames = layout.window[0] if mutual else 1  # mutual attention works frame by frame
    parts = qkv.split(counts) if len(counts) > 1 else (qkv,)
    attended = [
        _attend_alike(part, _bias_and_mask(bias, axes, layout, mutual, qkv), heads, frames, scale, attend)
        for axes, part in zip(mixed, parts, strict=True)
    ]
    return torch.cat(attended) if len(attended) > 1 else attended[0]


def _bias_and_mask(bias: Tensor | None, mixed: Mixed, layout: WindowLayout, mutual: bool, like: Tensor) -> Tensor | None:
    """Return what to add to the scores of alike windows, (1, heads or 1, N, N), or None for nothing.

    PyTorch's fused kernels on CPUs take a mask of two or four axes; with three they fall back without a word.
    """
    if not any(mixed):
        return None if bias is None else bias[None]
    frame = (1, *layout.window[1:]) if mutual else layout.window
    mask = window_mask(mixed, frame, layout.shift, like.device).to(like.dtype)
    return mask[None, None] if bias is None else (bias + mask)[None]


def _attend_alike(
    windows: Tensor, added: Tensor | None, heads: int, frames: int, scale: float, attend: Attend
) -> Tensor:
    """Attend in windows (M, N, 3*C) that share what is added; those of two frames let their frames swap queries."""
    count, tokens, channels = windows.shape
    split = windows.view(count, frames, tokens // frames, 3, heads, channels // 3 // heads)
    q, k, v = split.permute(3, 0, 1, 4, 2, 5).unbind()  # each (M, frames, heads, N per frame, channels per head)
    if frames > 1:
        q = q.flip(1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    parts = [
        attend(*part, added, scale)
        for part in zip(q.split(MAX_BATCH), k.split(MAX_BATCH), v.split(MAX_BATCH), strict=True)
    ]
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out.transpose(1, 2).reshape(count, tokens, channels // 3)
