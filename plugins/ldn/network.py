"""The light deblurring network of S-SDM (arXiv 2403.09486): one blurred frame and the raw spikes around one instant.

Shapes: N frames, H x W pixels of RGB, h x w pixels of spikes (published: h = H/4), L spike steps.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.profiling import stage

SCALE = 4
"""Divisor of height and width of the features."""

WIDTHS = (16, 32)
"""Channels after the first and the second layer of either encoder; the decoder mirrors them."""


class LDN(nn.Module):
    """Encodes a blurred frame and raw spikes, joins them at a quarter of the size and decodes the sharp frame.

    The parameters have the names of the published weights. Spikes of another size than a quarter of the frame are
    resized to it after their encoder, bilinearly.

    Args:
        steps: L, the raw spike steps of a frame.
    """

    in_channels = 3
    scale = 1

    def __init__(self, steps: int = 21) -> None:
        super().__init__()
        first, second = WIDTHS
        joined = 2 * second
        self.bins = steps
        self.blur_enc = activated(nn.Conv2d(3, first, 5, stride=2, padding=2))
        self.blur_enc2 = activated(nn.Conv2d(first, second, 5, stride=2, padding=2))
        self.spike_enc = activated(nn.Conv2d(steps, first, 3, padding=1))
        self.spike_enc2 = activated(nn.Conv2d(first, second, 3, padding=1))
        self.ca = ChannelAttention(joined, reduction=16)
        self.sa = SpatialAttention()
        self.resBlock1 = ResidualBlock(joined)
        self.resBlock2 = ResidualBlock(joined)
        self.decoder1 = activated(nn.ConvTranspose2d(joined, second, 5, stride=2, padding=2, output_padding=1))
        self.decoder2 = activated(nn.ConvTranspose2d(second, first, 5, stride=2, padding=2, output_padding=1))
        self.pred = nn.Conv2d(3 + first, 3, 1)

    def frames_out(self, frames: int) -> int:
        """Return the number of restored frames for a clip of ``frames``."""
        return frames

    @staticmethod
    def cost_stages() -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('input', 'spike_encoder', 'stage1', 'reconstruction')

    def forward(self, blur: Tensor, spikes: Tensor) -> Tensor:
        """Restore blurred frames (N, 3, H, W) in [0, 1], H and W multiples of 4, with spikes (N, L, h, w) of 0 and 1.

        Returns:
            The restored frames (N, 3, H, W), not clamped.
        """
        with stage('input') as s:
            frame = s.leave(self.blur_enc2(self.blur_enc(blur)))
        with stage('spike_encoder') as s:
            spike = self.spike_enc2(self.spike_enc(spikes))
            if spike.shape[-2:] != frame.shape[-2:]:
                spike = F.interpolate(spike, size=frame.shape[-2:], mode='bilinear', align_corners=False)
            spike = s.leave(spike)
        with stage('stage1') as s:
            x = torch.cat((s.enter(frame), spike), dim=1)
            x = x * self.ca(x)
            x = x * self.sa(x)
            x = s.leave(self.resBlock2(self.resBlock1(x)))
        with stage('reconstruction') as s:
            x = self.decoder2(self.decoder1(s.enter(x)))
            return s.leave(self.pred(torch.cat((blur, x), dim=1)))


def activated(layer: nn.Module) -> nn.Sequential:
    """Return ``layer`` followed by ReLU."""
    return nn.Sequential(layer, nn.ReLU())


class ChannelAttention(nn.Module):
    """One weight in (0, 1) per channel, from the mean and the maximum over the frame (CBAM, arXiv 1807.06521)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = channels // reduction
        self.fc = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> weights (N, C, 1, 1)."""
        return torch.sigmoid(self.fc(x.mean((-2, -1), keepdim=True)) + self.fc(x.amax((-2, -1), keepdim=True)))


class SpatialAttention(nn.Module):
    """One weight in (0, 1) per pixel, from the mean and the maximum over channels (CBAM, arXiv 1807.06521)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> weights (N, 1, h, w)."""
        return torch.sigmoid(self.conv1(torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)))


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))), 3x3; the published names of the convolutions are 0 and 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.conv_block = nn.Sequential(OrderedDict([('0', first), ('1', nn.ReLU()), ('3', second)]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape."""
        return x + self.conv_block(x)
