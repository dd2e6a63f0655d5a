"""Spike encoder of 3-D convolutions.

Shapes: B clips, T frames, K temporal bins per frame, C channels, Hs x Ws spike pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.conv3d import Conv3d
from vrtspike.models.spike_encoders.voxels import check_voxel
from vrtspike.registry import SPIKE_ENCODERS

BLOCKS_PER_SCALE = 2


class ResidualBlock3D(nn.Module):
    """ReLU(x + conv(ReLU(conv(x)))) without normalisation; keeps the shape.

    Args:
        channels: C.
        conv: Makes a convolution over 3 frames and 3x3 pixels from the channels that come in and go out.
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
class SpikeEncoder3D(nn.Module):
    """Turn spike voxels into feature maps at scales 1, 1/2, 1/4, ... of the spike resolution.

    The K bins of a frame are input channels and the T frames the depth of 3-D convolutions, which never shrinks. The
    first scale is a convolution with ReLU and two residual blocks, every further one a convolution of stride (1, 2, 2)
    and two residual blocks. 4,812,672 parameters at the defaults.

    Args:
        bins: K, temporal bins of a voxel; the number that the spike representation makes.
        channels: C, of every map.
        scales: Number of maps.

    Raises:
        ConfigError: An argument is not a positive integer.
    """

    def __init__(self, bins: int = 32, channels: int = 96, scales: int = 4) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, bins=bins, channels=channels, scales=scales)
        self.bins = bins
        self.channels = (channels,) * scales
        stem = nn.Sequential(self.conv(bins, channels), nn.ReLU(inplace=True))
        halvings = (self.conv(channels, channels, stride=2) for _ in range(scales - 1))
        self.scales = nn.ModuleList(self._scale(entry, channels) for entry in (stem, *halvings))

    @staticmethod
    def conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
        """Return a convolution over 3 frames and 3x3 pixels that divides height and width by ``stride``."""
        return Conv3d(in_channels, out_channels, kernel_size=3, stride=(1, stride, stride), padding=1)

    def _scale(self, entry: nn.Module, channels: int) -> nn.Sequential:
        return nn.Sequential(entry, *(ResidualBlock3D(channels, self.conv) for _ in range(BLOCKS_PER_SCALE)))

    def forward(self, voxel: Tensor) -> list[Tensor]:
        """Encode ``voxel`` (B, T, K, Hs, Ws).

        Returns:
            One map (B, C, T, ceil(Hs / 2^i), ceil(Ws / 2^i)) per scale i.

        Raises:
            ConfigError: ``voxel`` has other dimensions or another number of bins.
        """
        check_voxel(self, voxel)
        x, maps = voxel.transpose(1, 2), []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        return maps
