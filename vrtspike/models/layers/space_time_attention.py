"""Attention of one map to another inside windows over space and time.

Shapes: maps (B, T, H, W, C), channels last; window (t, h, w) of N = t*h*w tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.layers.attention import effective_window, pad_to_windows
from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.ops import window_attention
from vrtspike.ops.window_attention.windows import Window, crop_bias_table

UNSHIFTED = (0, 0, 0)


class SpaceTimeAttention(nn.Module):
    """softmax(Q K^T / sqrt(d) + b) V inside every window, Q of one map, K and V of another.

    b is a learnt bias per head and relative position (Swin, arXiv 2103.14030; over time, arXiv 2106.13230). Windows
    are not shifted: what crosses their borders is the work of the stages around the head.

    Args:
        channels: C, of both maps.
        heads: Number of heads; divides ``channels``.
        window: (t, h, w); axes of smaller maps shrink it.
    """

    def __init__(self, channels: int, heads: int, window: Window) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.zeros(math.prod(2 * n - 1 for n in window), heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)

    def forward(self, query: Tensor, context: Tensor) -> Tensor:
        """Attend from ``query`` to ``context``, both (B, T, H, W, C); returns the same shape."""
        size = tuple(query.shape[1:4])
        window, _ = effective_window(size, self.window, UNSHIFTED)
        qkv = torch.cat((self.query(query), self.key_value(context)), dim=-1)
        table = crop_bias_table(self.bias_table, self.window, window)
        attended = window_attention(
            pad_to_windows(qkv, window), table, window=window, shift=UNSHIFTED, heads=self.heads, mutual=False
        )
        return self.out(attended[:, : size[0], : size[1], : size[2]])


def padded_to_windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Return a map (B, C, T, H, W) zero-padded at the end of H and W to whole windows (h, w)."""
    missing = [-size % length for size, length in zip(x.shape[-2:], window, strict=True)]
    return F.pad(x, (0, missing[1], 0, missing[0])) if any(missing) else x


def check_window(owner: str, window: Sequence[int]) -> Window:
    """Return ``window`` as (t, h, w), or raise :class:`ConfigError` where it is not three positive integers."""
    if len(window) != 3:
        raise ConfigError(f'{owner}: window_size={list(window)}; expected three lengths (t, h, w)')
    require_positive_integers(owner, **dict(zip(('t', 'h', 'w'), window, strict=True)))
    return tuple(window)
