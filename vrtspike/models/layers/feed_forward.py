"""The feed-forward network of the heads, on maps (B, C, T, H, W)."""

from __future__ import annotations

from torch import nn

from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.maps import ChannelNorm, zeroed


def feed_forward(channels: int, mlp_ratio: float = 2.0, *, starts_at_zero: bool) -> nn.Sequential:
    """Return W2 GELU(W1 LN(x)) at every pixel of a map.

    Args:
        channels: C.
        mlp_ratio: Hidden channels over ``channels``.
        starts_at_zero: Whether W2 begins at zero, so that the residual branch begins as nothing.
    """
    hidden = max(1, round(channels * mlp_ratio))
    last = FrameConv(hidden, channels, size=1)
    return nn.Sequential(
        ChannelNorm(channels), FrameConv(channels, hidden, size=1), nn.GELU(), zeroed(last) if starts_at_zero else last
    )
