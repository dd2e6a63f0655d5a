"""Fusion of RGB and spike features by concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.models.fusion.base import FusionHead
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import from_frames, to_frames
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class ConcatFusion(FusionHead):
    """Concatenate the maps and mix them by convolutions: rgb + W2 * GELU(W1 [rgb; spike]).

    W1 is 1x1, W2 is 3x3 inside frames. This is the simplest fusion, as in event-based deblurring (arXiv 2004.05794).
    It changes the RGB features at full strength from the start.

    Args:
        channels: C, of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.mix = nn.Sequential(FrameConv(2 * channels, channels, size=1), nn.GELU(), FrameConv(channels, channels))

    def fuse(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W)."""
        frames = torch.cat((to_frames(rgb), to_frames(spike)), dim=1)  # keeps channels last, unlike one of maps
        return rgb + self.mix(from_frames(frames, len(rgb)))
