"""A temporal self-attention: say here what it does, in one sentence, and where the idea comes from."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.conv import Conv3d
from vrtspike.registry import TSA


@TSA.register_module()
class NewTsa(nn.Module):
    """Mix neighbouring frames at every pixel: x + W * x, a depthwise convolution over 3 frames.

    Args:
        channels: C of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return spike features of the shape of ``x``, (B, C, T, h, w)."""
        return x + self.mix(x)
