"""Convolution inside frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class FrameConv(nn.Conv3d):
    """A (1, k, k) convolution of (B, C, T, H, W), run as a 2-D one: the same numbers by much faster kernels.

    It is a ``Conv3d`` to keep the shapes that published checkpoints have.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        size: k, odd; the map keeps its size.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__(in_channels, out_channels, (1, size, size), padding=(0, size // 2, size // 2))

    def forward(self, x: Tensor) -> Tensor:
        frames = x.transpose(1, 2)
        out = F.conv2d(frames.flatten(0, 1), self.weight.squeeze(2), self.bias, padding=self.padding[1:])
        return out.unflatten(0, frames.shape[:2]).transpose(1, 2)
