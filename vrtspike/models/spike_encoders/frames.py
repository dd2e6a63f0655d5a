"""Spike encoder of convolutions inside frames.

Shapes: B clips, T frames, K temporal bins per frame, C channels, Hs x Ws spike pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError
from vrtspike.models.layers.blocks import FrameBlock
from vrtspike.models.layers.maps import from_frames
from vrtspike.models.spike_encoders.base import PyramidEncoder
from vrtspike.registry import SPIKE_ENCODERS


@SPIKE_ENCODERS.register_module()
class FrameSpikeEncoder(PyramidEncoder):
    """Encode every frame by itself with 3x3 convolutions over its K bins.

    It has a third of the multiplications of :class:`~vrtspike.models.spike_encoders.conv3d.SpikeEncoder3D` and 2-D
    convolutions with channels last, which CPUs compute faster. The first scale is a convolution, each further scale one
    of stride 2; each is followed by ReLU and ``depth`` residual blocks.

    Args:
        bins: K, temporal bins of a voxel grid, as in the spike representation.
        channels: C, of every map.
        scales: Number of maps.
        depth: Residual blocks per scale; may be 0.

    Raises:
        ConfigError: An argument is not a positive integer, or ``depth`` is negative.
    """

    def __init__(self, bins: int = 32, channels: int = 96, scales: int = 1, depth: int = 0) -> None:
        super().__init__(bins, channels, scales)
        if depth < 0:
            raise ConfigError(f'FrameSpikeEncoder: depth={depth}, expected 0 or more')
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(bins if scale == 0 else channels, channels, 3, stride=1 + (scale > 0), padding=1),
                nn.ReLU(inplace=True),
                *(FrameBlock(channels) for _ in range(depth)),
            )
            for scale in range(scales)
        )

    def encode(self, voxel: Tensor) -> list[Tensor]:
        """Return the maps of a voxel grid; its shape has been checked."""
        x, maps = voxel.flatten(0, 1).contiguous(memory_format=torch.channels_last), []
        for scale in self.scales:
            x = scale(x)
            maps.append(from_frames(x, len(voxel)))
        return maps
