"""Self-attention in windows over space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.feed_forward import feed_forward
from vrtspike.models.layers.maps import ChannelNorm, channels_first, channels_last, check_heads
from vrtspike.models.layers.space_time_attention import SpaceTimeAttention, check_window, padded_to_windows
from vrtspike.registry import TSA


@TSA.register_module()
class WindowSelfAttention(ChunkedPart):
    """Let spike features attend to those around them in space and time: x += WA(LN(x)), then x += MLP(LN(x)).

    WA is multi-head attention inside windows with a learnt bias per relative position, along time too (Swin, arXiv
    2103.14030; video, arXiv 2106.13230). Attention runs chunk by chunk, the MLP takes the whole map.

    Args:
        channels: C, of the map.
        heads: Attention heads; divides ``channels``.
        window_size: Window (t, h, w); axes of smaller maps shrink it.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
        kwargs: How the maps are cut, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 4,
        window_size: Sequence[int] = (5, 4, 4),
        mlp_ratio: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, **kwargs)
        check_heads(type(self).__name__, channels, heads)
        window = check_window(type(self).__name__, window_size)
        self.window = window[1:]
        self.norm = ChannelNorm(channels)
        self.attention = SpaceTimeAttention(channels, heads, window)
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        self.check_maps(x=x)
        height, width = x.shape[-2:]
        x = x + self.map_chunks(self._attend, padded_to_windows(x, self.window))[..., :height, :width]
        return x + self.mlp(x)

    def _attend(self, chunk: Tensor) -> Tensor:
        tokens = channels_last(self.norm(chunk))
        return channels_first(self.attention(tokens, tokens))
