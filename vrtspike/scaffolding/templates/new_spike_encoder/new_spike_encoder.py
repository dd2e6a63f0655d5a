"""A spike encoder: say here what it does, in one sentence, and where the idea comes from."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.conv import Conv3d
from vrtspike.registry import SPIKE_ENCODERS


@SPIKE_ENCODERS.register_module()
class NewSpikeEncoder(nn.Module):
    """Convolve the bins of every frame, and pool the result to the other scales.

    Args:
        bins: K, temporal bins of a voxel.
        channels: C of every map.
        scales: Number of maps.
    """

    def __init__(self, bins: int = 32, channels: int = 48, scales: int = 4) -> None:
        super().__init__()
        self.channels = (channels,) * scales
        self.embed = Conv3d(bins, channels, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, voxel: Tensor) -> list[Tensor]:
        """(B, T, K, Hs, Ws) -> one map (B, C, T, Hs/2^i, Ws/2^i), rounded up, per scale i."""
        maps = [self.embed(voxel.transpose(1, 2))]
        for _ in self.channels[1:]:
            maps.append(F.avg_pool3d(maps[-1], (1, 2, 2), ceil_mode=True))
        return maps
