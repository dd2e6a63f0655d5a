"""Spike encoder that looks at patches of 2x2 spike pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.conv_block import ConvBlock
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.spike_encoders.voxels import check_voxel
from vrtspike.registry import SPIKE_ENCODERS

PATCH = 2


class PatchMerging(nn.Module):
    """A linear map of every 2x2 patch of a frame to C channels (arXiv 2010.11929, 2103.14030); borders are repeated.

    Args:
        in_channels: Channels that come in.
        channels: C.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, channels, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C', T, h, w) -> (B, C, T, h/2, w/2), rounded up."""
        frames = x.transpose(1, 2).flatten(0, 1)
        frames = F.pad(frames, (0, x.shape[-1] % PATCH, 0, x.shape[-2] % PATCH), mode='replicate')
        return self.embed(frames).unflatten(0, (x.shape[0], -1)).transpose(1, 2)


@SPIKE_ENCODERS.register_module()
class PatchSpikeEncoder(nn.Module):
    """Embed patches of 2x2 spike pixels, refine them at half the resolution and merge them further.

    Scales 1/2, 1/4, ... are patches, each with residual blocks of separable convolutions; scale 1 is made from scale
    1/2 by sub-pixel convolution (arXiv 1609.05158). Nothing but that runs at full resolution, where the baseline
    spends three quarters of its arithmetic.

    Args:
        bins: K, temporal bins of a voxel; the number that the spike representation makes.
        channels: C, of every map.
        scales: Number of maps.
        blocks: Residual blocks per scale.

    Raises:
        ConfigError: An argument is not a positive integer.
    """

    def __init__(self, bins: int = 32, channels: int = 96, scales: int = 4, blocks: int = 2) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, bins=bins, channels=channels, scales=scales, blocks=blocks)
        self.bins = bins
        self.channels = (channels,) * scales
        entries = [bins, *[channels] * max(scales - 2, 0)]
        self.scales = nn.ModuleList(
            nn.Sequential(PatchMerging(entry, channels), *(ConvBlock(channels) for _ in range(blocks)))
            for entry in entries
        )
        self.enlarge = FrameConv(channels, channels * PATCH**2, size=1)
        self.shuffle = nn.PixelShuffle(PATCH)

    def forward(self, voxel: Tensor) -> list[Tensor]:
        """Encode ``voxel`` (B, T, K, Hs, Ws).

        Returns:
            One map (B, C, T, ceil(Hs / 2^i), ceil(Ws / 2^i)) per scale i.

        Raises:
            ConfigError: ``voxel`` has other dimensions or another number of bins.
        """
        check_voxel(self, voxel)
        x, patches = voxel.transpose(1, 2), []
        for scale in self.scales:
            x = scale(x)
            patches.append(x)
        whole = self.shuffle(self.enlarge(patches[0]).transpose(1, 2)).transpose(1, 2)
        return [whole[..., : voxel.shape[-2], : voxel.shape[-1]], *patches][: len(self.channels)]
