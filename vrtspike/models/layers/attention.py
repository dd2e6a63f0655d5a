"""Attention in windows of space and time: VRT's mutual self-attention (arXiv 2201.12288), and attention between maps.

Shapes: map (B, T, H, W, C), channels last; window (t, h, w) of N = t*h*w tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.models.layers.checks import check_heads, check_window
from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import ChannelNorm, channels_first, channels_last, zeroed
from vrtspike.models.layers.mlp import feed_forward
from vrtspike.native.build import Kernel
from vrtspike.ops import Addend, Windows, add_scattered, linear, map_windows, window_attention
from vrtspike.ops.joined_rows import joined_rows
from vrtspike.ops.padding import pad_to_windows
from vrtspike.ops.window_attention import native
from vrtspike.ops.window_attention.functional import Norm, unchanged
from vrtspike.ops.window_attention.windows import Window, crop_bias_table, relative_position_index
from vrtspike.runtime.device import fuses_by_hand

UNSHIFTED = (0, 0, 0)


def effective_window(size: Window, window: Window, shift: Window) -> tuple[Window, Window]:
    """Return the window and shift to use on a map of ``size``.

    Along an axis where the map is no larger than the window, the window shrinks to the map and is not shifted.
    """
    fits = [s > w for s, w in zip(size, window, strict=True)]
    effective = tuple(w if fit else s for s, w, fit in zip(size, window, fits, strict=True))
    return effective, tuple(s if fit else 0 for s, fit in zip(shift, fits, strict=True))


def sine_position_encoding(height: int, width: int, channels: int, temperature: float = 10_000.0) -> Tensor:
    """Return (1, height*width, channels): sines and cosines of y in the first half of the channels, of x in the rest.

    Positions run from 2*pi/n to 2*pi. Sine and cosine of a frequency are neighbouring channels.
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
    """Self-attention inside windows, and optionally mutual attention between the two frames of a window.

    Args:
        channels: C.
        window: Window (t, h, w); mutual attention needs t = 2.
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
        self.channels = channels
        self.heads = heads
        self.qk_scale = qk_scale
        self.attn_type = attn_type
        self.relative_position_bias_table = nn.Parameter(torch.zeros(math.prod(2 * n - 1 for n in window), heads))
        # Published checkpoints contain this buffer. The operator computes its own for the window in use.
        self.register_buffer('relative_position_index', relative_position_index(window))
        self.qkv_self = Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = Linear(2 * channels if mutual else channels, channels)
        self.qkv_mut: Linear | None = None
        if mutual:
            self.register_buffer('position_bias', sine_position_encoding(*window[1:], channels))
            self.qkv_mut = Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj.casts_bias = False
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels that the CPU needs, so that they can be compiled beforehand."""
        return native.kernels_for(self.channels // self.heads) if self.attn_type in ('auto', 'native') else ()

    def forward(
        self,
        x: Tensor,
        shift: Window,
        norm: Norm = unchanged,
        added_by: float | None = None,
        add: Callable[[Tensor, Addend], Any] = add_scattered,
    ) -> Tensor:
        """Attend in the windows of a map (B, T, H, W, C) of any size, shifted cyclically by ``shift`` tokens.

        The tokens are normalised by ``norm``, and the results are added to the map that it returns with the factor
        ``added_by``, see :func:`vrtspike.ops.map_windows`. GPUs add them by ``add``, a function like
        :func:`vrtspike.ops.add_scattered`, together with the bias of the last projection, and return its result.
        """
        window, shift = effective_window(tuple(x.shape[1:4]), self.window, shift)
        table = crop_bias_table(self.relative_position_bias_table, self.window, window)
        settings = dict(window=window, shift=shift, heads=self.heads, scale=self.qk_scale, backend=self.attn_type)
        settings |= dict(norm=norm, added_by=added_by)
        if added_by is None or not fuses_by_hand(x):
            return map_windows(partial(self.attend, bias=self.proj.bias), x, table, **settings)

        def add_with_bias(x: Tensor, addend: Addend) -> Any:
            return add(x, addend._replace(bias=self.proj.bias))

        return map_windows(partial(self.attend, bias=None), x, table, add=add_with_bias, **settings)

    def attend(self, windows: Windows, bias: Tensor | None) -> Tensor:
        """Project the tokens, attend in their windows, and merge self-attention and mutual attention.

        Args:
            windows: The tokens in windows.
            bias: Of the last projection; None if it is added to the result later.
        """
        if windows.attends_together:
            return linear(self.attend_together(windows), self.proj.weight, bias)
        own = windows.attend(self.qkv_self(windows.tokens))
        if self.qkv_mut is None:
            return linear(own, self.proj.weight, bias)
        encoded = windows.encoded(self.encoding(windows.window))
        return self.merge(windows.attend(self.qkv_mut(encoded), mutual=True), own, bias)

    def attend_together(self, windows: Windows) -> Tensor:
        """Return the results (..., C) of self-attention, or (..., 2*C) with those of mutual attention before them.

        One product projects the tokens for both. The kernel of attention adds what their position encoding becomes by
        the projection, and sums the gradients of the biases.
        """
        own, mutual = self.qkv_self, self.qkv_mut
        if mutual is None:
            return windows.attend_together(linear(windows.tokens, own.weight, detached(own.bias)), [own.bias])
        bias, weight = None if own.bias is None else joined_rows(own.bias, mutual.bias), mutual.weight
        qkv = linear(windows.tokens, joined_rows(own.weight, weight), detached(bias))
        encoding = linear(self.encoding(windows.window).flatten(0, 1), weight)
        return windows.attend_together(qkv, [own.bias, mutual.bias], encoding)

    def encoding(self, window: Window) -> Tensor:
        """Return the position encoding (h, w, C) of the tokens in one frame of a window."""
        return self.position_bias.view(*self.window[1:], -1)[: window[1], : window[2]]

    def merge(self, mutual: Tensor, own: Tensor, bias: Tensor | None) -> Tensor:
        """Project ``cat(mutual, own)`` of tokens (..., C) without the concatenation in memory."""
        for_mutual, for_own = self.proj.weight.chunk(2, dim=1)
        return linear(mutual, for_mutual, residual=linear(own, for_own, bias))


def detached(bias: Tensor | None) -> Tensor | None:
    """Return a bias without its gradient, if there is one."""
    return None if bias is None else bias.detach()


class SpaceTimeAttention(nn.Module):
    """softmax(Q K^T / sqrt(d) + b) V inside every window, with Q from one map and K and V from another.

    b is a learnt bias per head and relative position (Swin, arXiv 2103.14030; over time, arXiv 2106.13230). Windows
    are not shifted; the stages around the head carry information across their borders.

    Args:
        channels: C, of both maps.
        heads: Number of heads; divides ``channels``.
        window: (t, h, w); it shrinks to smaller maps.
    """

    def __init__(self, channels: int, heads: int, window: Window) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.query = Linear(channels, channels)
        self.key_value = Linear(channels, 2 * channels)
        self.out = Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.zeros(math.prod(2 * n - 1 for n in window), heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Attend from ``query`` to ``context``, both (B, T, H, W, C); returns the same shape."""
        t, h, w = query.shape[1:4]
        window, _ = effective_window((t, h, w), self.window, UNSHIFTED)
        qkv = torch.cat((self.query(query), self.key_value(context)), dim=-1)
        table = crop_bias_table(self.bias_table, self.window, window)
        attended = window_attention(
            pad_to_windows(qkv, window), table, window=window, shift=UNSHIFTED, heads=self.heads, mutual=False
        )
        return self.out(attended[:, :t, :h, :w])


class SpaceTimeAttentionPart(ChunkedPart):
    """Base of the parts x += attention(LN(x), LN(context)), x += MLP(LN(x)) in windows of space and time.

    Args:
        channels: C, of every map.
        heads: Attention heads; divides ``channels``.
        window_size: Window (t, h, w); it shrinks to smaller maps.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
        kwargs: How the maps are cut into chunks, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
    """

    norms = ('norm',)
    """Names of the norms, one for each map."""

    starts_at_zero = False
    """Whether the last layers of attention and MLP begin at zero, so that the part begins as the identity."""

    def __init__(
        self,
        channels: int,
        heads: int = 4,
        window_size: Sequence[int] = (5, 8, 8),
        mlp_ratio: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        check_heads(type(self).__name__, channels, heads)
        window = check_window(type(self).__name__, window_size)
        self.window = window[1:]
        for name in self.norms:
            setattr(self, name, ChannelNorm(channels))
        self.attention = SpaceTimeAttention(channels, heads, window)
        if self.starts_at_zero:
            zeroed(self.attention.out)
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=self.starts_at_zero)

    def refine(self, *maps: Tensor) -> Tensor:
        """Refine the first map by attending to the last, all (B, C, T, H, W). Only the attention runs in chunks."""
        height, width = maps[0].shape[-2:]
        padded = (pad_to_windows(each, self.window, first_axis=3) for each in maps)
        x = maps[0] + self.map_chunks(self._attend, *padded)[..., :height, :width]
        return x + self.mlp(x)

    def _attend(self, *chunks: Tensor) -> Tensor:
        tokens = [channels_last(getattr(self, name)(chunk)) for name, chunk in zip(self.norms, chunks, strict=True)]
        return channels_first(self.attention(tokens[0], tokens[-1]))
