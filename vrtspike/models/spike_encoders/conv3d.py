"""Spike encoder of 3-D convolutions.

Shapes: B clips, T frames, K temporal bins per frame, C channels, Hs x Ws spike pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vrtspike.models.layers.conv import Conv3d
from vrtspike.models.spike_encoders.base import PyramidEncoder
from vrtspike.registry import SPIKE_ENCODERS

BLOCKS_PER_SCALE = 2


class ResidualBlock3D(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))) without normalisation; keeps the shape.

    Args:
        channels: C.
        conv: Builds a convolution over 3 frames and 3x3 pixels from its input and output channels.
    """

    def __init__(self, channels: int, conv: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B, C, T, h, w)."""
        return self.relu(x + self.conv2(self.relu(self.conv1(x))))


@SPIKE_ENCODERS.register_module()
class SpikeEncoder3D(PyramidEncoder):
    """Turn voxel grids into feature maps at scales 1, 1/2, 1/4, ... of the spike resolution.

    The K bins of a frame are the input channels of 3-D convolutions over the T frames; T never shrinks. The first scale
    is a convolution with ReLU and two residual blocks. Each further scale is a convolution of stride (1, 2, 2) and two
    residual blocks. The defaults have 4,812,672 parameters.

    Args:
        bins: K, temporal bins of a voxel grid, as in the spike representation.
        channels: C, of every map.
        scales: Number of maps.

    Raises:
        ConfigError: An argument is not a positive integer.
    """

    def __init__(self, bins: int = 32, channels: int = 96, scales: int = 4) -> None:
        super().__init__(bins, channels, scales)
        stem = nn.Sequential(self.conv(bins, channels), nn.ReLU(inplace=True))
        halvings = (self.conv(channels, channels, stride=2) for _ in range(scales - 1))
        self.scales = nn.ModuleList(self._scale(entry, channels) for entry in (stem, *halvings))

    @staticmethod
    def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        """Return a convolution over 3 frames and 3x3 pixels that divides height and width by ``stride``."""
        return Conv3d(in_channels, out_channels, kernel_size=3, stride=(1, stride, stride), padding=1)

    def _scale(self, entry: nn.Module, channels: int) -> nn.Sequential:
        return nn.Sequential(entry, *(ResidualBlock3D(channels, self.conv) for _ in range(BLOCKS_PER_SCALE)))
