"""Fusion of RGB and spike features through a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.models.fusion.base import FusionHead
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import zeroed
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class GatedFusion(FusionHead):
    """Gate the spikes by pixel and channel: rgb + W0 [sigmoid(G [rgb; spike]) * V(spike)].

    V is a 3x3 convolution with GELU, G and W0 are 1x1 (gated multimodal units, arXiv 1702.01992). W0 begins at zero,
    so the head begins as the identity.

    Args:
        channels: C, of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.gate = nn.Sequential(FrameConv(2 * channels, channels, size=1), nn.Sigmoid())
        self.value = nn.Sequential(FrameConv(channels, channels), nn.GELU())
        self.out = zeroed(FrameConv(channels, channels, size=1))

    def fuse(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W)."""
        return rgb + self.out(self.gate(torch.cat((rgb, spike), dim=1)) * self.value(spike))
