"""The reference of window attention, written for readability; all other backends are tested against it."""

from __future__ import annotations

import torch
from torch import Tensor

from vrtspike.ops.window_attention.windows import (
    MASKED,
    Settings,
    Window,
    axis_regions,
    merge,
    partition,
    relative_position_bias,
)


def reference(qkv: Tensor, bias_table: Tensor | None, settings: Settings) -> Tensor:
    """Attend in the windows of a map (B, T, H, W, 3*C) step by step, with scores and mask in memory."""
    window, shift, heads, mutual, scale = settings
    rolled = torch.roll(qkv, [-s for s in shift], dims=(1, 2, 3))
    windows = partition(rolled, window)
    b, n_t, n_h, n_w = windows.shape[:4]
    tokens = windows.reshape(b, n_t * n_h * n_w, settings.frames, -1, 3, heads, qkv.shape[-1] // 3 // heads)
    q, k, v = tokens.permute(4, 0, 1, 2, 5, 3, 6)  # each (B, windows, frames, heads, tokens, channels)
    if mutual:
        q = q.flip(2)
    scores = (q * scale) @ k.transpose(-2, -1)
    if bias_table is not None:
        scores += relative_position_bias(bias_table, window).to(scores.dtype)
    if any(shift):
        regions = map_regions(tuple(qkv.shape[1:4]), window, shift, time=not mutual, device=qkv.device)
        scores += mask_between(regions, scores.dtype)[None, :, None, None]
    out = scores.softmax(-1) @ v  # (B, windows, frames, heads, tokens, channels)
    out = out.transpose(3, 4).reshape(*windows.shape[:-1], -1)
    return torch.roll(merge(out), shift, dims=(1, 2, 3))


def map_regions(
    size: Window, window: Window, shift: Window, *, time: bool, device: torch.device | str = 'cpu'
) -> Tensor:
    """Return (windows, tokens): the region of every token of a shifted map.

    Without ``time``, the tokens are those of one frame of the window, and regions differ in space only.
    """
    t, h, w = (axis_regions(s, length, k, device) for s, length, k in zip(size, window, shift, strict=True))
    if not time:
        t = torch.zeros_like(t[:, :1])
    label = t[:, None, None, :, None, None] * 4 + h[None, :, None, None, :, None] * 2 + w[None, None, :, None, None, :]
    return label.flatten(3).flatten(0, 2)


def mask_between(regions: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mask (windows, tokens, tokens): 0 inside a region, :data:`MASKED` across."""
    return (regions[:, :, None] != regions[:, None, :]).to(dtype) * MASKED
