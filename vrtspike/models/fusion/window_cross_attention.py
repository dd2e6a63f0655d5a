"""Fusion of RGB and spike features by cross-attention in windows over space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.feed_forward import feed_forward
from vrtspike.models.layers.maps import ChannelNorm, channels_first, channels_last, check_heads, zeroed
from vrtspike.models.layers.space_time_attention import SpaceTimeAttention, check_window, padded_to_windows
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class WindowCrossAttention(ChunkedPart):
    """Let RGB features read the spikes around them: x = rgb + WA(LN(rgb), LN(spike)), x += MLP(LN(x)).

    WA is multi-head attention inside windows over space and time with a learnt bias per relative position
    (arXiv 2103.14030, 2106.13230):
    spikes need not lie at the pixel that they belong to. The last layers of WA and MLP begin at zero, so the head
    begins as the identity.

    Args:
        channels: C, of both maps.
        heads: Attention heads; divides ``channels``.
        window_size: Window (t, h, w); axes of smaller maps shrink it.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
        kwargs: How the maps are cut, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
    """

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
        self.rgb_norm, self.spike_norm = ChannelNorm(channels), ChannelNorm(channels)
        self.attention = SpaceTimeAttention(channels, heads, window)
        zeroed(self.attention.out)
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=True)

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) that have read ``spike``, of the same shape as ``rgb``."""
        self.check_maps(rgb=rgb, spike=spike)
        height, width = rgb.shape[-2:]
        maps = (padded_to_windows(each, self.window) for each in (rgb, spike))
        x = rgb + self.map_chunks(self._read, *maps)[..., :height, :width]
        return x + self.mlp(x)

    def _read(self, rgb: Tensor, spike: Tensor) -> Tensor:
        query, context = channels_last(self.rgb_norm(rgb)), channels_last(self.spike_norm(spike))
        return channels_first(self.attention(query, context))
