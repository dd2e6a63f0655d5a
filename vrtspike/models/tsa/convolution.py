"""Temporal mixing by convolutions instead of attention."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive, require_positive_integers
from vrtspike.models.layers.blocks import ConvBlock
from vrtspike.models.layers.checks import check_maps
from vrtspike.registry import TSA


@TSA.register_module()
class TemporalConvolution(nn.Module):
    """Mix neighbouring frames by a depthwise convolution: x + MLP(LN(DW(x))) (ConvNeXt, arXiv 2201.03545, over time).

    Args:
        channels: C, of the map.
        kernel_size: (t, h, w) of the depthwise convolution, odd.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
    """

    def __init__(self, channels: int, kernel_size: Sequence[int] = (3, 1, 1), mlp_ratio: float = 2.0) -> None:
        super().__init__()
        name = type(self).__name__
        require_positive_integers(name, channels=channels)
        require_positive(name, mlp_ratio=mlp_ratio)
        if len(kernel_size) != 3 or any(length < 1 or length % 2 == 0 for length in kernel_size):
            raise ConfigError(f'{name}: kernel_size={list(kernel_size)}; expected three odd lengths (t, h, w)')
        self.channels = channels
        self.block = ConvBlock(channels, tuple(kernel_size), mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        check_maps(self, self.channels, x=x)
        return self.block(x)
