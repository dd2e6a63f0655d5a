"""Fusion of RGB and spike features by a selective scan along time."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.maps import zeroed
from vrtspike.models.layers.selective_scan import SelectiveScan
from vrtspike.models.layers.temporal_attention import from_tokens, to_tokens
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class SelectiveScanFusion(ChunkedPart):
    """Let spikes write a state along time that RGB features read: rgb + scan(LN(rgb), LN(spike)) at every pixel.

    The scan runs in both directions; spikes decide what enters the state and how long it stays, RGB what is read of it
    (:class:`~vrtspike.models.layers.selective_scan.SelectiveScan`; Mamba, arXiv 2312.00752, between modalities as in
    arXiv 2404.04256). Its last layer begins at zero, so the head begins as the identity.

    Args:
        channels: C, of both maps.
        states: States per channel.
        kwargs: How the maps are cut, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
    """

    def __init__(self, channels: int, states: int = 8, **kwargs: Any) -> None:
        super().__init__(channels, **kwargs)
        require_positive_integers(type(self).__name__, channels=channels, states=states)
        self.rgb_norm, self.spike_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.scan = SelectiveScan(channels, states)
        zeroed(self.scan.out)

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) that have read ``spike``, of the same shape as ``rgb``."""
        self.check_maps(rgb=rgb, spike=spike)
        return rgb + self.map_chunks(self._read, rgb, spike)

    def _read(self, rgb: Tensor, spike: Tensor) -> Tensor:
        query, context = self.rgb_norm(to_tokens(rgb)), self.spike_norm(to_tokens(spike))
        return from_tokens(self.scan(query, context), like=rgb)
