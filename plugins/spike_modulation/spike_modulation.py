"""A fusion head that lets spikes scale and shift the RGB features."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.checks import check_maps
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import zeroed
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class SpikeModulation(nn.Module):
    """rgb * (1 + s) + t, where (s, t) = W2 GELU(W1 spike) at every pixel (spatial feature transform, arXiv 1804.02815).

    W1 is 3x3 inside frames. W2 begins at zero, so the head begins as the identity.

    Args:
        channels: C of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.condition = nn.Sequential(
            FrameConv(channels, channels), nn.GELU(), zeroed(FrameConv(channels, 2 * channels, size=1))
        )

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) modulated by ``spike``, of the same shape as ``rgb``."""
        check_maps(self, self.channels, rgb=rgb, spike=spike)
        scale, shift = self.condition(spike).chunk(2, dim=1)
        return rgb * (1 + scale) + shift
