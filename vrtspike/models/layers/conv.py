"""Convolutions of maps (B, C, T, H, W): over space and time, inside frames, and with pixel shuffle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class Conv3d(nn.Conv3d):
    """``nn.Conv3d`` that trains on CPUs under bfloat16 autocast without oneDNN's 3-D convolution.

    oneDNN 3.12, which PyTorch 2.13 uses on CPUs, computes wrong weight gradients of 3-D convolutions in bfloat16. With
    AMX, those of large maps are off by factors of thousands, or the process crashes. Without AMX, those of clips of two
    frames are wrong. 2-D convolutions are right, so frames are convolved in 2-D, with their neighbours as further
    channels. That is also 1.6 times as fast as 3-D in float32. Grouped, strided or dilated in time, or with another
    padding than zeros, a convolution trains in float32; the result has autocast's type.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the result of ``nn.Conv3d`` for (B, C, T, H, W)."""
        if not (x.device.type == 'cpu' and torch.is_autocast_enabled('cpu') and torch.is_grad_enabled()):
            return super().forward(x)
        return self._convolve_frames(x) if self._fits_frames() else self._convolve_in_float32(x)

    def _fits_frames(self) -> bool:
        dense = self.groups == self.stride[0] == 1 and self.dilation == (1, 1, 1)
        return dense and self.padding_mode == 'zeros' and not isinstance(self.padding, str)

    def _convolve_frames(self, x: Tensor) -> Tensor:
        """Return the result of (B, C, T, H, W) from one 2-D convolution of (B T', C span, H, W)."""
        (span, *_), (around, *padding) = self.kernel_size, self.padding
        neighbours = _Neighbours.apply(x.transpose(1, 2), span, around)
        weight = self.weight.transpose(1, 2).flatten(1, 2)
        out = F.conv2d(neighbours.flatten(0, 1), weight, self.bias, self.stride[1:], padding)
        return out.unflatten(0, neighbours.shape[:2]).transpose(1, 2)

    def _convolve_in_float32(self, x: Tensor) -> Tensor:
        with torch.autocast('cpu', enabled=False):
            bias = None if self.bias is None else self.bias.float()  # float32 already unless cast with others' weights
            out = self._conv_forward(x.float(), self.weight.float(), bias)
        return out.to(torch.get_autocast_dtype('cpu'))


class _Neighbours(torch.autograd.Function):
    """Frames (B, T, C, H, W) with the channels of ``span`` neighbours beside each other (B, T', span*C, H, W).

    The first frame of the result begins ``around`` frames before the clip; frames beyond its ends are zero. PyTorch's
    own gradient of a slice of the frames fills a whole clip with zeros.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, span: int, around: int) -> Tensor:
        batch, frames, channels, *size = x.shape
        ctx.size, ctx.window = x.shape, (span, around)
        out = x.new_zeros((batch, frames + 2 * around - span + 1, span * channels, *size))
        for part, source, place in _shifted(out, x, span, around):
            part[:, place] = x[:, source]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        grad_x = grad.new_zeros(ctx.size)
        for part, source, place in _shifted(grad, grad_x, *ctx.window):
            grad_x[:, source] += part[:, place]
        return grad_x, None, None


def _shifted(neighbours: Tensor, frames: Tensor, span: int, around: int) -> Iterator[tuple[Tensor, slice, slice]]:
    """Yield, for every neighbour, its channels, which frames it takes and where it puts them."""
    for shift, part in enumerate(neighbours.chunk(span, dim=2), start=-around):
        first, last = max(0, shift), min(frames.shape[1], neighbours.shape[1] + shift)
        if first < last:
            yield part, slice(first, last), slice(first - shift, last - shift)


class FrameConv(nn.Conv3d):
    """A (1, k, k) convolution of (B, C, T, H, W), run as a 2-D one: the same result from much faster kernels.

    It is an ``nn.Conv3d``, so its weights have the same shape as in published checkpoints.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        size: k, odd; the map keeps its size.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__(in_channels, out_channels, (1, size, size), padding=(0, size // 2, size // 2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C', T, H, W)."""
        frames = x.transpose(1, 2)
        out = F.conv2d(frames.flatten(0, 1), self.weight.squeeze(2), self.bias, padding=self.padding[1:])
        return out.unflatten(0, frames.shape[:2]).transpose(1, 2)


class Upsample(nn.ModuleDict):
    """Enlarge (B, C, T, H, W) by convolution and pixel shuffle, a factor of two per step, with the published names.

    Args:
        scale: The enlargement, a power of 2.
        channels: C.
    """

    def __init__(self, scale: int, channels: int) -> None:
        steps = int(math.log2(scale))
        convolutions = {str(5 * i): FrameConv(channels, 4 * channels) for i in range(steps)}
        convolutions[str(5 * steps)] = FrameConv(channels, channels)
        super().__init__(convolutions)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, C, T, scale*H, scale*W)."""
        *doublings, last = self.values()
        for convolution in doublings:
            x = rearrange(convolution(x), 'b (c row column) t h w -> b c t (h row) (w column)', row=2, column=2)
            x = F.leaky_relu(x, 0.1)
        return last(x)
