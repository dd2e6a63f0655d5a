"""Spike encoder that embeds patches of 2x2 spike pixels."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.blocks import ConvBlock
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import from_frames, to_frames
from vrtspike.models.layers.padding import pad_to_multiple
from vrtspike.models.spike_encoders.base import PyramidEncoder
from vrtspike.registry import SPIKE_ENCODERS

PATCH = 2


class PatchMerging(nn.Module):
    """A linear map of every 2x2 patch of a frame to C channels (arXiv 2010.11929, 2103.14030).

    If a side is odd, the border is repeated.

    Args:
        in_channels: Channels of the input.
        channels: C.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, channels, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C', T, h, w) -> (B, C, T, h/2, w/2), rounded up."""
        frames = pad_to_multiple(to_frames(x), PATCH)
        return from_frames(self.embed(frames), len(x))


@SPIKE_ENCODERS.register_module()
class PatchSpikeEncoder(PyramidEncoder):
    """Embed patches of 2x2 spike pixels, refine them at half the resolution and merge them further.

    Scales 1/2, 1/4, ... are patches, each followed by residual blocks of separable convolutions. Scale 1 is
    computed from scale 1/2 by sub-pixel convolution (arXiv 1609.05158). Nothing else runs at full resolution, where the
    baseline spends three quarters of its multiply-accumulates.

    Args:
        bins: K, temporal bins of a voxel grid, as in the spike representation.
        channels: C, of every map.
        scales: Number of maps.
        blocks: Residual blocks per scale.

    Raises:
        ConfigError: An argument is not a positive integer.
    """

    def __init__(self, bins: int = 32, channels: int = 96, scales: int = 4, blocks: int = 2) -> None:
        super().__init__(bins, channels, scales, blocks=blocks)
        entries = [bins, *[channels] * max(scales - 2, 0)]
        self.scales = nn.ModuleList(
            nn.Sequential(PatchMerging(entry, channels), *(ConvBlock(channels) for _ in range(blocks)))
            for entry in entries
        )
        self.enlarge = FrameConv(channels, channels * PATCH**2, size=1)
        self.shuffle = nn.PixelShuffle(PATCH)

    def encode(self, voxel: Tensor) -> list[Tensor]:
        """Return the maps of a voxel grid; its shape has been checked."""
        patches = super().encode(voxel)
        whole = from_frames(self.shuffle(to_frames(self.enlarge(patches[0]))), len(voxel))
        return [whole[..., : voxel.shape[-2], : voxel.shape[-1]], *patches][: len(self.channels)]
