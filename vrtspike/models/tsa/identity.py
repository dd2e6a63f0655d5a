"""No temporal attention at all."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.checks import check_maps
from vrtspike.registry import TSA


@TSA.register_module()
class IdentityTSA(nn.Module):
    """Return the spike features unchanged: the baseline that the other variants are compared with.

    Args:
        channels: C, of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, T, h, w)."""
        check_maps(self, self.channels, x=x)
        return x
