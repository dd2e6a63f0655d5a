"""Fusion of RGB and spike features by concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.maps import check_maps
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class ConcatFusion(nn.Module):
    """Concatenate the maps and let convolutions mix them: rgb + W2 * GELU(W1 [rgb; spike]).

    W1 is 1x1, W2 is 3x3 inside frames. The plain way, as in event-based deblurring (arXiv 2004.05794); at
    initialisation the head changes the RGB features at full strength.

    Args:
        channels: C, of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, channels=channels)
        self.channels = channels
        self.mix = nn.Sequential(FrameConv(2 * channels, channels, size=1), nn.GELU(), FrameConv(channels, channels))

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) mixed with ``spike``, of the same shape as ``rgb``."""
        check_maps(self, self.channels, rgb=rgb, spike=spike)
        return rgb + self.mix(torch.cat((rgb, spike), dim=1))
