"""A residual block of separable convolutions over space and time."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.conv3d import Conv3d
from vrtspike.models.layers.feed_forward import feed_forward


class ConvBlock(nn.Module):
    """x + W2 GELU(W1 LN(DW(x))), with DW a depthwise convolution over space and time (ConvNeXt, arXiv 2201.03545).

    Args:
        channels: C.
        kernel: (t, h, w) of DW, odd.
        mlp_ratio: Hidden channels over ``channels``.
    """

    def __init__(self, channels: int, kernel: tuple[int, int, int] = (3, 3, 3), mlp_ratio: float = 2.0) -> None:
        super().__init__()
        padding = tuple(length // 2 for length in kernel)
        self.depthwise = Conv3d(channels, channels, kernel, padding=padding, groups=channels)
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, h, w) -> the same shape."""
        return x + self.mlp(self.depthwise(x))
