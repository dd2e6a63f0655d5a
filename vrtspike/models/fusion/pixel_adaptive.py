"""Fusion of RGB features with spike features that were filtered by kernels of their own pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError, require_positive_integers
from vrtspike.models.fusion.base import FusionHead
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import from_frames, to_frames, zeroed
from vrtspike.registry import FUSION_HEADS

GATE_BIAS = -2.0
"""The gate begins nearly closed, at 0.12."""


@FUSION_HEADS.register_module()
class PixelAdaptiveFusion(FusionHead):
    """Filter the spikes by a kernel per pixel, then write through a gate: rgb + sigmoid(G [rgb; e]) * W0 D [rgb; e].

    e is the mean of V(spike) over a k x k neighbourhood, with weights that a convolution of the spikes predicts for
    every pixel and that sum to one (dynamic filters, arXiv 1605.09673). Nothing is mixed along time. W0 begins at zero,
    so the head begins as the identity. S-VRT calls such a head ``pase_residual``.

    Args:
        channels: C, of both maps.
        kernel_size: k, odd.
    """

    def __init__(self, channels: int, kernel_size: int = 3) -> None:
        super().__init__(channels)
        require_positive_integers(type(self).__name__, kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ConfigError(f'{type(self).__name__} got {kernel_size=}, expected an odd number')
        self.kernel_size = kernel_size
        self.kernels = nn.Sequential(
            FrameConv(channels, channels), nn.GELU(), FrameConv(channels, kernel_size**2, size=1)
        )
        self.value = FrameConv(channels, channels)
        self.gate = FrameConv(2 * channels, channels, size=1)
        nn.init.constant_(self.gate.bias, GATE_BIAS)
        self.change = nn.Sequential(
            FrameConv(2 * channels, channels), nn.GELU(), zeroed(FrameConv(channels, channels, size=1))
        )

    def fuse(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W)."""
        both = torch.cat((rgb, self.filtered(spike)), dim=1)
        return rgb + self.gate(both).sigmoid() * self.change(both)

    def filtered(self, spike: Tensor) -> Tensor:
        """Return V(spike) (B, C, T, H, W), averaged with the weights of each pixel; zeros lie beyond the border."""
        weights, value = (to_frames(each) for each in (self.kernels(spike).softmax(dim=1), self.value(spike)))
        size = self.kernel_size
        near = F.unfold(value, size, padding=size // 2).unflatten(1, (self.channels, size**2))
        summed = (near * weights.flatten(2).unsqueeze(1)).sum(dim=2).unflatten(-1, value.shape[-2:])
        return from_frames(summed, len(spike))
