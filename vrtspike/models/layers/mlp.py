"""Feed-forward networks for every token: VRT's gated MLP (GEGLU, arXiv 2002.05202), and the MLP of fusion heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import ChannelNorm, zeroed
from vrtspike.ops import gated_linear, linear
from vrtspike.ops.chunks import map_rows
from vrtspike.ops.gated_linear.halves import halves
from vrtspike.runtime.device import fuses_by_hand


class GatedMLP(nn.Module):
    """``fc2(gelu(fc11(x)) * fc12(x))`` on the last axis.

    Args:
        in_features: Channels of the input.
        hidden_features: Channels of each of the two branches.
        out_features: Channels of the output; None is as many as the input.
    """

    def __init__(self, in_features: int, hidden_features: int, out_features: int | None = None) -> None:
        super().__init__()
        self.fc11 = Linear(in_features, hidden_features)
        self.fc12 = Linear(in_features, hidden_features)
        self.fc2 = Linear(hidden_features, out_features or in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return map_rows(self.gated, x)

    def gated(self, x: Tensor) -> Tensor:
        """Compute the network for all tokens at once."""
        return gated_linear(*self.branches(x), self.fc2.weight, self.fc2.bias)

    def branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the gate takes, (..., hidden_features) each: on GPUs the halves of one product."""
        if not fuses_by_hand(x):
            return self.fc11(x), self.fc12(x)
        weight = torch.cat((self.fc11.weight, self.fc12.weight))
        return halves(linear(x, weight, torch.cat((self.fc11.bias, self.fc12.bias))))


def feed_forward(channels: int, mlp_ratio: float = 2.0, *, starts_at_zero: bool) -> nn.Sequential:
    """Return the layers that compute W2 GELU(W1 LN(x)) at every pixel of a map (B, C, T, H, W).

    Args:
        channels: C.
        mlp_ratio: Hidden channels over ``channels``.
        starts_at_zero: Whether W2 begins at zero, so that the residual branch begins as zero.
    """
    hidden = max(1, round(channels * mlp_ratio))
    last = FrameConv(hidden, channels, size=1)
    return nn.Sequential(
        ChannelNorm(channels), FrameConv(channels, hidden, size=1), nn.GELU(), zeroed(last) if starts_at_zero else last
    )
