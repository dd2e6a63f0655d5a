"""Fusion of RGB and spike features through a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.maps import check_maps, zeroed
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class GatedFusion(nn.Module):
    """Let a gate decide where and in which channels spikes are used: rgb + W0 [sigmoid(G [rgb; spike]) * V(spike)].

    V is a 3x3 convolution with GELU, G and W0 are 1x1 (gated multimodal units, arXiv 1702.01992). W0 begins at zero,
    so the head begins as the identity.

    Args:
        channels: C, of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, channels=channels)
        self.channels = channels
        self.gate = nn.Sequential(FrameConv(2 * channels, channels, size=1), nn.Sigmoid())
        self.value = nn.Sequential(FrameConv(channels, channels), nn.GELU())
        self.out = zeroed(FrameConv(channels, channels, size=1))

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) with what the gate lets in of ``spike``, of the same shape."""
        check_maps(self, self.channels, rgb=rgb, spike=spike)
        return rgb + self.out(self.gate(torch.cat((rgb, spike), dim=1)) * self.value(spike))
