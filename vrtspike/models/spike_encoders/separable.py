"""Spike encoder whose convolutions see space first, then time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.spike_encoders.conv3d import SpikeEncoder3D
from vrtspike.registry import SPIKE_ENCODERS


class SpaceThenTime(nn.Module):
    """A 3x3 convolution inside frames followed by one over 3 frames at every pixel, as R(2+1)D (arXiv 1711.11248).

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        stride: Divisor of height and width.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.space = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.time = nn.Conv1d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B, C', T, h / stride, w / stride), rounded up."""
        frames = self.space(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (x.shape[0], -1)).transpose(1, 2)
        # Over time as a (3, 1) convolution of (T, h*w): a 3-D one of a single pixel's width is slower.
        mixed = F.conv2d(frames.flatten(3), self.time.weight[..., None], self.time.bias, padding=(1, 0))
        return mixed.unflatten(3, frames.shape[3:])


@SPIKE_ENCODERS.register_module()
class SeparableSpikeEncoder(SpikeEncoder3D):
    """The baseline with every 3x3x3 convolution split into 3x3 inside frames and 3 over frames ("2.5-D").

    At equal channels it has 12/27 of the baseline's products. Arguments and maps are those of
    :class:`~vrtspike.models.spike_encoders.conv3d.SpikeEncoder3D`.
    """

    conv = SpaceThenTime
