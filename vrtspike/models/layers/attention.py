"""Temporal mutual self-attention in shifted windows (VRT, arXiv 2201.12288).

Shapes: map (B, T, H, W, C), channels last; window (t, h, w) of N = t*h*w tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.ops import WindowLayout, attend_in_windows, window_attention, works_in_windows
from vrtspike.ops.chunks import rows_at_once, works_in_pieces
from vrtspike.ops.window_attention.layout import Kind, pieces_of
from vrtspike.ops.window_attention.windows import (
    Window,
    crop_bias_table,
    relative_position_bias,
    relative_position_index,
)


def effective_window(size: Window, window: Window, shift: Window) -> tuple[Window, Window]:
    """Return window and shift on a map of ``size``: along an axis it does not exceed, a window is not shifted."""
    fits = [s > w for s, w in zip(size, window, strict=True)]
    effective = tuple(w if fit else s for s, w, fit in zip(size, window, fits, strict=True))
    return effective, tuple(s if fit else 0 for s, fit in zip(shift, fits, strict=True))


def sine_position_encoding(height: int, width: int, channels: int, temperature: float = 10_000.0) -> Tensor:
    """Return (1, height*width, channels): sines and cosines of y in the first half of the channels, of x in the rest.

    Positions run from 2*pi/n to 2*pi; sine and cosine of a frequency stand side by side.
    """
    half = channels // 2
    frequency = temperature ** (2 * torch.div(torch.arange(half), 2, rounding_mode='floor') / half)

    def encode(n: int) -> Tensor:
        position = torch.arange(1, n + 1, dtype=torch.float32) / (n + 1e-6) * 2 * math.pi
        angle = position[:, None] / frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=-1).flatten(1)

    y = encode(height)[:, None].expand(-1, width, -1)
    x = encode(width)[None].expand(height, -1, -1)
    return torch.cat((y, x), dim=-1).reshape(1, height * width, -1)


class WindowAttention(nn.Module):
    """Self-attention inside windows, optionally joined by mutual attention between the two frames of a window.

    Args:
        channels: C.
        window: Window (t, h, w); mutual attention wants t = 2.
        heads: Number of heads, a divisor of C.
        mutual: Whether the frames of a window also attend to each other.
        qkv_bias: Whether queries, keys and values have a bias.
        qk_scale: Factor on the scores; None is 1/sqrt(C/heads).
        attn_type: Backend of :func:`vrtspike.ops.window_attention`.
    """

    def __init__(
        self,
        channels: int,
        window: Window,
        heads: int,
        *,
        mutual: bool,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        attn_type: str = 'auto',
    ) -> None:
        super().__init__()
        self.window = window
        self.heads = heads
        self.qk_scale = qk_scale
        self.attn_type = attn_type
        self.relative_position_bias_table = nn.Parameter(torch.zeros(math.prod(2 * n - 1 for n in window), heads))
        # Released checkpoints carry this buffer; the operator makes its own for the window it is given.
        self.register_buffer('relative_position_index', relative_position_index(window))
        self.qkv_self = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = nn.Linear(2 * channels if mutual else channels, channels)
        self.qkv_mut: nn.Linear | None = None
        if mutual:
            self.register_buffer('position_bias', sine_position_encoding(*window[1:], channels))
            self.qkv_mut = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor, shift: Window) -> Tensor:
        """Attend in the windows of a map (B, T, H, W, C) of any size, shifted cyclically by ``shift`` tokens."""
        size = tuple(x.shape[1:4])
        window, shift = effective_window(size, self.window, shift)
        x = pad_to_windows(x, window)
        table = crop_bias_table(self.relative_position_bias_table, self.window, window)
        attend = self.attend_in_windows if works_in_windows(x, self.attn_type) else self.attend_on_map
        return attend(x, table, window, shift)[:, : size[0], : size[1], : size[2]]

    def attend_in_windows(self, x: Tensor, table: Tensor, window: Window, shift: Window) -> Tensor:
        """Attend in the windows of a map (B, T, H, W, C), bringing its tokens into their order and back once."""
        layout = WindowLayout(tuple(x.shape[:4]), window, shift)
        bias = relative_position_bias(table, window)
        windows, kinds = layout.to_windows(x), layout.kinds()
        at_once = max(1, rows_at_once() // windows.shape[1]) if works_in_pieces(x) else len(windows)
        pieces = list(pieces_of(kinds, at_once))
        parts = windows.split(at_once) if len(pieces) > 1 else (windows,)
        attended = [self.attend_in(part, bias, piece, window, shift) for part, piece in zip(parts, pieces, strict=True)]
        return layout.to_map(torch.cat(attended) if len(attended) > 1 else attended[0])

    def attend_in(self, windows: Tensor, bias: Tensor, kinds: Sequence[Kind], window: Window, shift: Window) -> Tensor:
        """Attend in windows (M, N, C) of some kinds."""
        settings = dict(window=window, shift=shift, heads=self.heads, scale=self.qk_scale, backend=self.attn_type)
        out = attend_in_windows(self.qkv_self(windows), bias, kinds, mutual=False, **settings)
        if self.qkv_mut is not None:
            encoded = windows + self.window_encoding(window).flatten(0, 1).repeat(window[0], 1)
            mutual = attend_in_windows(self.qkv_mut(encoded), None, kinds, mutual=True, **settings)
            return self.project_both(mutual, out)
        return self.proj(out)

    def project_both(self, mutual: Tensor, own: Tensor) -> Tensor:
        """Compute ``proj(cat(mutual, own))`` of maps (..., C) without putting them beside each other."""
        for_mutual, for_own = self.proj.weight.chunk(2, dim=1)
        projected = F.linear(own, for_own, self.proj.bias)
        return torch.addmm(projected.flatten(0, -2), mutual.flatten(0, -2), for_mutual.t()).view_as(projected)

    def attend_on_map(self, x: Tensor, table: Tensor, window: Window, shift: Window) -> Tensor:
        """Do the same with a backend that finds the windows of a map by itself."""
        settings = dict(window=window, shift=shift, heads=self.heads, scale=self.qk_scale, backend=self.attn_type)
        out = window_attention(self.qkv_self(x), table, mutual=False, **settings)
        if self.qkv_mut is not None:
            encoded = x + self.position_map(x.shape[2:4], window, shift)
            return self.project_both(window_attention(self.qkv_mut(encoded), None, mutual=True, **settings), out)
        return self.proj(out)

    def position_map(self, size: torch.Size, window: Window, shift: Window) -> Tensor:
        """Return the position encoding (H, W, C) of every token inside its own shifted window."""
        tiled = self.window_encoding(window).repeat(size[0] // window[1], size[1] // window[2], 1)
        return tiled.roll(shift[1:], dims=(0, 1))

    def window_encoding(self, window: Window) -> Tensor:
        """Return the position encoding (h, w, C) of the tokens of one frame of a window."""
        return self.position_bias.view(*self.window[1:], -1)[: window[1], : window[2]]


def pad_to_windows(x: Tensor, window: Window) -> Tensor:
    """Return a map (B, T, H, W, C) zero-padded at the end of T, H and W to whole windows."""
    missing = [-size % length for size, length in zip(x.shape[1:4], window, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))
