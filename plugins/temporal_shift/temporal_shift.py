"""A TSA variant that shifts channels between neighbouring frames, which costs no arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError
from vrtspike.models.layers.checks import check_maps
from vrtspike.models.layers.mlp import feed_forward
from vrtspike.registry import TSA


@TSA.register_module()
class TemporalShift(nn.Module):
    """x + MLP(LN(shift(x))): some channels come from the frame before, some from the one after (TSM, arXiv 1811.08383).

    Before the first and after the last frame there are zeros. Shifting costs no arithmetic; the MLP mixes the channels.

    Args:
        channels: C of the map.
        share: Share of the channels that comes from each side, at most 0.5.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
    """

    def __init__(self, channels: int, share: float = 0.25, mlp_ratio: float = 2.0) -> None:
        super().__init__()
        if not 0 < share <= 0.5:
            raise ConfigError(f'TemporalShift: share={share!r}; expected a number above 0, at most 0.5')
        self.channels = channels
        self.shifted = max(1, int(channels * share))
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        check_maps(self, self.channels, x=x)
        return x + self.mlp(self.shift(x))

    def shift(self, x: Tensor) -> Tensor:
        """Return (B, C, T, h, w) with some channels from the frame before and as many from the one after."""
        before, after, own = x.tensor_split((self.shifted, 2 * self.shifted), dim=1)
        nothing = torch.zeros_like(x[:, : self.shifted, :1])
        before = torch.cat((nothing, before[:, :, :-1]), dim=2)
        after = torch.cat((after[:, :, 1:], nothing[:, : after.shape[1]]), dim=2)
        return torch.cat((before, after, own), dim=1)
