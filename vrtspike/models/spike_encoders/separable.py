"""Spike encoder with convolutions split into space and time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.maps import from_frames, to_frames
from vrtspike.models.spike_encoders.conv3d import SpikeEncoder3D
from vrtspike.registry import SPIKE_ENCODERS


class SpaceThenTime(nn.Module):
    """A 3x3 convolution inside frames followed by one over 3 frames at every pixel, as in R(2+1)D (arXiv 1711.11248).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Divisor of height and width.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.space = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.time = nn.Conv1d(out_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> (B, C', T, h / stride, w / stride), rounded up."""
        frames = from_frames(self.space(to_frames(x)), len(x))
        # The convolution over time runs as a 2-D one of (T, h*w), which is faster than a (3, 1, 1) one.
        mixed = F.conv2d(frames.flatten(3), self.time.weight[..., None], self.time.bias, padding=(1, 0))
        return mixed.unflatten(3, frames.shape[3:])


@SPIKE_ENCODERS.register_module()
class SeparableSpikeEncoder(SpikeEncoder3D):
    """The baseline with every 3x3x3 convolution split into 3x3 inside frames and 3 over frames ("2.5-D").

    At equal channels it needs 12/27 of the baseline's multiplications. Arguments and maps are those of
    :class:`~vrtspike.models.spike_encoders.conv3d.SpikeEncoder3D`.
    """

    conv = SpaceThenTime
