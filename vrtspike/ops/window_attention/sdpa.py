"""Window attention by PyTorch's fused ``scaled_dot_product_attention``.

The bias is broadcast over windows, and windows of one kind (:class:`WindowLayout`) share one mask, so that one call
serves each of at most eight kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vrtspike.ops.window_attention.layout import Kind, WindowLayout
from vrtspike.ops.window_attention.windows import Window, relative_position_bias, window_mask

MAX_BATCH = 65_535
"""PyTorch's CUDA attention kernels fail at a batch of 65,536 or more."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def sdpa(
    qkv: Tensor, bias_table: Tensor | None, *, window: Window, shift: Window, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` without scores in memory or a mask for every window."""
    return on_map(sdpa_in_windows, qkv, bias_table, window, shift, heads=heads, mutual=mutual, scale=scale)


def sdpa_in_windows(qkv: Tensor, bias: Tensor | None, kinds: Sequence[Kind], **settings) -> Tensor:
    """Compute :func:`vrtspike.ops.attend_in_windows`."""
    return by_kinds(qkv, bias, kinds, attend=fused_attention, **settings)


def on_map(
    in_windows: Callable[..., Tensor], qkv: Tensor, bias_table: Tensor | None, window: Window, shift: Window, **settings
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` by what computes :func:`vrtspike.ops.attend_in_windows`."""
    layout = WindowLayout(tuple(qkv.shape[:4]), window, shift)
    bias = None if bias_table is None else relative_position_bias(bias_table, window)
    windows = in_windows(layout.to_windows(qkv), bias, layout.kinds(), window=window, shift=shift, **settings)
    return layout.to_map(windows)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    """Attend by PyTorch's operator, whatever kernel it finds."""
    return scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)


def by_kinds(
    qkv: Tensor,
    bias: Tensor | None,
    kinds: Sequence[Kind],
    *,
    window: Window,
    shift: Window,
    heads: int,
    mutual: bool,
    scale: float,
    attend: Attend,
) -> Tensor:
    """Attend in windows (M, N, 3*C), ``attend(q, k, v, added, scale)`` doing so in those that share what is added."""
    if mutual:
        kinds = alike_in_frames(kinds)
    frames = window[0] if mutual else 1  # mutual attention works frame by frame
    frame = (window[0] // frames, *window[1:])
    parts = qkv.split([kind.count for kind in kinds]) if len(kinds) > 1 else (qkv,)
    bias = None if bias is None else bias.to(qkv.dtype).contiguous()
    attended = [
        _attend_alike(part, _bias_and_mask(bias, kind, frame, shift, qkv), heads, frames, scale, attend)
        for kind, part in zip(kinds, parts, strict=True)
    ]
    return torch.cat(attended) if len(attended) > 1 else attended[0]


def alike_in_frames(kinds: Sequence[Kind]) -> list[Kind]:
    """Join neighbouring kinds that differ only along time, where mutual attention knows no regions."""
    joined: list[Kind] = []
    for (_, *mixed), count in kinds:
        if joined and joined[-1].mixed[1:] == tuple(mixed):
            count += joined.pop().count
        joined.append(Kind((False, *mixed), count))
    return joined


def _bias_and_mask(bias: Tensor | None, kind: Kind, window: Window, shift: Window, like: Tensor) -> Tensor | None:
    """Return what to add to the scores of alike windows, (1, heads or 1, N, N), or None for nothing.

    PyTorch's fused kernels on CPUs take a mask of two or four axes; with three they fall back without a word.
    """
    if not any(kind.mixed):
        return None if bias is None else bias[None]
    mask = window_mask(kind.mixed, window, shift, like.device).to(like.dtype)
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
