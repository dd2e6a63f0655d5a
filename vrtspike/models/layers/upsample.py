"""Enlargement by pixel shuffle, as VRT's super-resolution head does it."""

from __future__ import annotations

import math

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.frame_conv import FrameConv


class Upsample(nn.ModuleDict):
    """Enlarge (B, C, T, H, W) by convolution and pixel shuffle, twice per step, under the published names."""

    def __init__(self, scale: int, channels: int) -> None:
        steps = int(math.log2(scale))
        convolutions = {str(5 * i): FrameConv(channels, 4 * channels) for i in range(steps)}
        convolutions[str(5 * steps)] = FrameConv(channels, channels)
        super().__init__(convolutions)

    def forward(self, x: Tensor) -> Tensor:
        *doublings, last = self.values()
        for convolution in doublings:
            x = rearrange(convolution(x), 'b (c row column) t h w -> b c t (h row) (w column)', row=2, column=2)
            x = F.leaky_relu(x, 0.1)
        return last(x)
