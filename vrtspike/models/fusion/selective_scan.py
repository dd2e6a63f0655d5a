"""Fusion of RGB and spike features by a selective scan along time."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vrtspike.models.layers.maps import zeroed
from vrtspike.models.layers.selective_scan import SelectiveScanPart
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class SelectiveScanFusion(SelectiveScanPart):
    """Scan the spikes along time and read the states by RGB features: rgb + scan(LN(rgb), LN(spike)) at every pixel.

    The scan runs in both directions. Spikes decide what enters the states and how long it stays; RGB features decide
    what is read from them (:class:`~vrtspike.models.layers.selective_scan.SelectiveScan`; Mamba, arXiv 2312.00752,
    between modalities as in arXiv 2404.04256). The last layer begins at zero, so the head begins as the identity.
    Arguments: :class:`~vrtspike.models.layers.selective_scan.SelectiveScanPart`.
    """

    norms = ('rgb_norm', 'spike_norm')

    def __init__(self, channels: int, states: int = 8, **kwargs: Any) -> None:
        super().__init__(channels, states, **kwargs)
        zeroed(self.scan.out)

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W), fused with ``spike``."""
        self.check_maps(rgb=rgb, spike=spike)
        return rgb + self.scan_chunks(rgb, spike)
