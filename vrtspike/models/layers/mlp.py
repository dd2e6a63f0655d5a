"""Feed-forward networks for every token: VRT's gated MLP (GEGLU, arXiv 2002.05202), and the MLP of fusion heads."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import ChannelNorm, zeroed
from vrtspike.ops import Addend, add_scattered, gated_linear, linear
from vrtspike.ops.chunks import map_rows
from vrtspike.ops.gated_linear.halves import halves
from vrtspike.ops.joined_rows import joined_rows
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
        for layer in (self.fc11, self.fc12, self.fc2):
            layer.casts_bias = False

    def forward(self, x: Tensor, residual: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """(..., in_features) -> (..., out_features).

        With a residual of that shape, return it plus ``scale`` times the result. GPUs then add the bias of the last
        layer in the pass that adds the residual.
        """
        if residual is None:
            return map_rows(lambda x: self.gated(x, self.fc2.bias), x)
        rows = self.gated(x, None).flatten(0, -2)
        return add_scattered(residual, Addend([rows], scale=scale, bias=self.fc2.bias))

    def gated(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Compute the network for all tokens at once, with the given bias of the last layer."""
        if not fuses_by_hand(x):
            return gated_linear(self.fc11(x), self.fc12(x), self.fc2.weight, bias)
        both = linear(x, joined_rows(self.fc11.weight, self.fc12.weight))
        return gated_linear(*halves(both), self.fc2.weight, bias, input_biases=(self.fc11.bias, self.fc12.bias))


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
