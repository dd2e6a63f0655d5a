"""Fusion of RGB features with spike features that are aligned to them first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError
from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.maps import check_maps, zeroed
from vrtspike.ops import deform_conv2d
from vrtspike.registry import FUSION_HEADS

TAPS = 9


@FUSION_HEADS.register_module()
class DeformableFusion(nn.Module):
    """Fetch spikes from where they lie: rgb + W2 GELU(W1 [rgb; DCN(spike; offset, mask)]).

    DCN is a modulated deformable 3x3 convolution (arXiv 1811.11168) whose offsets and masks a convolution of [rgb;
    spike] predicts for every frame, as features are aligned in EDVR (arXiv 1905.02716). Offsets begin at zero; so does
    W2, and the head begins as the identity.

    Args:
        channels: C, of both maps.
        deformable_groups: Groups of channels with offsets of their own; divides ``channels``.
    """

    def __init__(self, channels: int, deformable_groups: int = 4) -> None:
        super().__init__()
        name = type(self).__name__
        require_positive_integers(name, channels=channels, deformable_groups=deformable_groups)
        if channels % deformable_groups:
            raise ConfigError(f'{name}: deformable_groups={deformable_groups} does not divide channels={channels}')
        self.channels = channels
        self.offset_taps = 2 * TAPS * deformable_groups
        self.seen = nn.Sequential(FrameConv(2 * channels, channels), nn.LeakyReLU(0.1))
        self.where = zeroed(FrameConv(channels, self.offset_taps + TAPS * deformable_groups))
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.mix = nn.Sequential(
            FrameConv(2 * channels, channels, size=1), nn.GELU(), zeroed(FrameConv(channels, channels, size=1))
        )

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) with the aligned ``spike`` mixed in, of the same shape as ``rgb``."""
        check_maps(self, self.channels, rgb=rgb, spike=spike)
        return rgb + self.mix(torch.cat((rgb, self.aligned(rgb, spike)), dim=1))

    def aligned(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return ``spike`` (B, C, T, H, W) as the deformable convolution fetches it."""
        where = _frames(self.where(self.seen(torch.cat((rgb, spike), dim=1))))
        offset, mask = where[:, : self.offset_taps], where[:, self.offset_taps :].sigmoid()
        fetched = deform_conv2d(_frames(spike).to(offset.dtype), offset, mask, self.weight, self.bias)
        return fetched.unflatten(0, (rgb.shape[0], -1)).transpose(1, 2)


def _frames(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B*T, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)
