"""Window attention by PyTorch's fused ``scaled_dot_product_attention``.

The bias is broadcast over windows. Only windows at the far end of a shifted axis hold two regions, so the map is
split there into at most eight blocks of alike windows, and a mask of one window serves each block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vrtspike.ops.window_attention.windows import Window, merge, partition, relative_position_bias, window_mask

MAX_BATCH = 65_535
"""PyTorch's CUDA attention kernels fail at a batch of 65,536 or more."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]


def sdpa(
    qkv: Tensor, bias_table: Tensor | None, *, window: Window, shift: Window, heads: int, mutual: bool, scale: float
) -> Tensor:
    """Compute :func:`vrtspike.ops.window_attention` without scores in memory or a mask for every window."""
    return by_windows(qkv, bias_table, window, shift, heads, mutual, scale, attend=fused_attention)


def fused_attention(q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, scale: float) -> Tensor:
    """Attend by PyTorch's operator, whatever kernel it finds."""
    return scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale)


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
    """Compute window attention, ``attend(q, k, v, added, scale)`` doing so in windows that share what is added."""
    rolled = torch.roll(qkv, [-s for s in shift], dims=(1, 2, 3)) if any(shift) else qkv
    bias = None if bias_table is None else relative_position_bias(bias_table, window).to(qkv.dtype)

    def attend_in(windows: Tensor, mixed: tuple[bool, ...]) -> Tensor:
        """Attend in (B, nT, nH, nW, t, h, w, 3*C), splitting off the last window of every shifted axis."""
        axis = len(mixed)
        if axis == 3:
            added = _bias_and_mask(bias, mixed, window, shift, mutual, qkv)
            return _attend_alike(windows, added, heads, mutual, scale, attend)
        if not shift[axis] or (axis == 0 and mutual):
            return attend_in(windows, (*mixed, False))
        inner, last = windows.tensor_split([windows.shape[axis + 1] - 1], dim=axis + 1)
        attended = [attend_in(part, (*mixed, part is last)) for part in (inner, last) if part.numel()]
        return torch.cat(attended, dim=axis + 1) if len(attended) > 1 else attended[0]

    out = merge(attend_in(partition(rolled, window), ()))
    return torch.roll(out, shift, dims=(1, 2, 3)) if any(shift) else out


def _bias_and_mask(
    bias: Tensor | None, mixed: tuple[bool, ...], window: Window, shift: Window, mutual: bool, like: Tensor
) -> Tensor | None:
    """Return what to add to the scores of alike windows, (1, heads or 1, N, N), or None for nothing.

    PyTorch's fused kernels on CPUs take a mask of two or four axes; with three they fall back without a word.
    """
    if not any(mixed):
        return None if bias is None else bias[None]
    frame = (1, *window[1:]) if mutual else window
    mask = window_mask(mixed, frame, shift, like.device).to(like.dtype)
    return mask[None, None] if bias is None else (bias + mask)[None]


def _attend_alike(
    windows: Tensor, added: Tensor | None, heads: int, mutual: bool, scale: float, attend: Attend
) -> Tensor:
    """Attend in windows (B, nT, nH, nW, t, h, w, 3*C) that share the matrix added to their scores."""
    *grid, t, h, w, channels = windows.shape
    frames = t if mutual else 1  # mutual attention works frame by frame
    tokens = windows.reshape(-1, frames, t // frames * h * w, 3, heads, channels // 3 // heads)
    q, k, v = tokens.permute(3, 0, 1, 4, 2, 5)  # each (windows, frames, heads, N, channels per head)
    if mutual:
        q = q.flip(1)
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    parts = [
        attend(*part, added, scale)
        for part in zip(q.split(MAX_BATCH), k.split(MAX_BATCH), v.split(MAX_BATCH), strict=True)
    ]
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out.transpose(1, 2).reshape(*grid, t, h, w, channels // 3)
