"""Fusion of RGB features with aligned spike features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive_integers
from vrtspike.models.fusion.base import FusionHead
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import from_frames, to_frames, zeroed
from vrtspike.ops import deform_conv2d
from vrtspike.registry import FUSION_HEADS

TAPS = 9


@FUSION_HEADS.register_module()
class DeformableFusion(FusionHead):
    """Align the spikes, then mix: rgb + W2 GELU(W1 [rgb; DCN(spike; offset, mask)]).

    DCN is a modulated deformable 3x3 convolution (arXiv 1811.11168). Convolutions of [rgb; spike] predict its offsets
    and masks for every frame, as in EDVR (arXiv 1905.02716). Offsets begin at zero. W2 begins at zero too, so the head
    begins as the identity.

    Args:
        channels: C, of both maps.
        deformable_groups: Groups of channels, each with its own offsets; divides ``channels``.
    """

    def __init__(self, channels: int, deformable_groups: int = 4) -> None:
        super().__init__(channels)
        name = type(self).__name__
        require_positive_integers(name, deformable_groups=deformable_groups)
        if channels % deformable_groups:
            raise ConfigError(f'{name}: deformable_groups={deformable_groups} does not divide channels={channels}')
        self.offset_taps = 2 * TAPS * deformable_groups
        self.seen = nn.Sequential(FrameConv(2 * channels, channels), nn.LeakyReLU(0.1))
        self.where = zeroed(FrameConv(channels, self.offset_taps + TAPS * deformable_groups))
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.mix = nn.Sequential(
            FrameConv(2 * channels, channels, size=1), nn.GELU(), zeroed(FrameConv(channels, channels, size=1))
        )

    def fuse(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W)."""
        return rgb + self.mix(torch.cat((rgb, self.aligned(rgb, spike)), dim=1))

    def aligned(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return ``spike`` (B, C, T, H, W), aligned to ``rgb``."""
        where = to_frames(self.where(self.seen(torch.cat((rgb, spike), dim=1))))
        offset, mask = where[:, : self.offset_taps], where[:, self.offset_taps :].sigmoid()
        fetched = deform_conv2d(to_frames(spike).to(offset.dtype), offset, mask, self.weight, self.bias)
        return from_frames(fetched, len(rgb))
