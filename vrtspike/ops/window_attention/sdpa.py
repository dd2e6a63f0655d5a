"""Window attention with PyTorch's fused attention.

The bias is broadcast over windows, and windows of one kind (see
:class:`~vrtspike.ops.window_attention.layout.WindowLayout`) share a mask, so there is one call for each of at most
eight kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vrtspike.ops.fused_attention import fused_attention, pad_channels
from vrtspike.ops.window_attention.layout import WindowKind
from vrtspike.ops.window_attention.windows import Settings, Window, window_mask

MAX_BATCH = 65_535
"""PyTorch's CUDA attention kernels fail at a batch of 65,536 or more."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def sdpa(qkv: Tensor, bias: Tensor | None, settings: Settings, kinds: Sequence[WindowKind]) -> Tensor:
    """Attend in windows (M, N, 3*C) without scores in memory or a mask for every window."""
    if qkv.device.type != 'cuda':
        return attend_by_kinds(qkv, bias, settings, kinds, _attend)
    return attend_with_padded_heads(qkv, bias, settings, kinds)


def attend_with_padded_heads(
    qkv: Tensor, bias: Tensor | None, settings: Settings, kinds: Sequence[WindowKind]
) -> Tensor:
    """Compute :func:`sdpa` with heads of a width that fused kernels take, padded once for all kinds of windows."""
    by_head = qkv.unflatten(-1, (3 * settings.heads, -1))
    padded = pad_channels(by_head)
    if padded is by_head:
        return attend_by_kinds(qkv, bias, settings, kinds, _attend)
    out = attend_by_kinds(padded.flatten(-2), bias, settings, kinds, _attend)
    return out.unflatten(-1, (settings.heads, -1))[..., : by_head.shape[-1]].flatten(-2)


def _attend(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    return fused_attention(q, k, v, added, scale=scale)


def attend_by_kinds(
    qkv: Tensor, bias: Tensor | None, settings: Settings, kinds: Sequence[WindowKind], attend: Attend
) -> Tensor:
    """Attend in windows (M, N, 3*C), with one call of ``attend(q, k, v, added to the scores, scale)`` for each kind."""
    if settings.mutual:
        kinds = without_time(kinds)
    parts = qkv.split([kind.count for kind in kinds]) if len(kinds) > 1 else (qkv,)
    bias = None if bias is None else bias.to(qkv.dtype).contiguous()
    attended = [
        _attend_in_kind(part, _bias_and_mask(bias, kind, settings.group, settings.shift, qkv), settings, attend)
        for kind, part in zip(kinds, parts, strict=True)
    ]
    return torch.cat(attended) if len(attended) > 1 else attended[0]


def without_time(kinds: Sequence[WindowKind]) -> list[WindowKind]:
    """Merge neighbouring kinds that differ only along time; mutual attention has no mask along time."""
    merged: list[WindowKind] = []
    for (_, *mixed), count in kinds:
        if merged and merged[-1].mixed[1:] == tuple(mixed):
            count += merged.pop().count
        merged.append(WindowKind((False, *mixed), count))
    return merged


def _bias_and_mask(bias: Tensor | None, kind: WindowKind, window: Window, shift: Window, like: Tensor) -> Tensor | None:
    """Return what to add to the scores of windows of one kind, (1, heads or 1, N, N), or None for nothing.

    PyTorch's fused CPU kernels take a mask of two or four axes; with three axes they silently fall back.
    """
    if not any(kind.mixed):
        return None if bias is None else bias[None]
    mask = window_mask(kind.mixed, window, shift, like.device).to(like.dtype)
    return mask[None, None] if bias is None else (bias + mask)[None]


def _attend_in_kind(windows: Tensor, added: Tensor | None, settings: Settings, attend: Attend) -> Tensor:
    """Attend in windows (M, N, 3*C) of one kind; in mutual attention of two frames, the frames swap queries."""
    count, tokens, channels = windows.shape
    frames, heads = settings.frames, settings.heads
    split = windows.view(count, frames, tokens // frames, 3, heads, channels // 3 // heads)
    q, k, v = split.permute(3, 0, 1, 4, 2, 5).unbind()  # each (M, frames, heads, N per frame, channels per head)
    if frames > 1:
        q = q.flip(1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    batches = zip(q.split(MAX_BATCH), k.split(MAX_BATCH), v.split(MAX_BATCH), strict=True)
    results = [attend(*batch, added, settings.scale) for batch in batches]
    out = results[0] if len(results) == 1 else torch.cat(results)
    return out.transpose(1, 2).reshape(count, tokens, channels // 3)
