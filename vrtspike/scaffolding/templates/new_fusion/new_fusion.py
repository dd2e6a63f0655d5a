"""A fusion head: say here what it does, in one sentence, and where the idea comes from."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.models.layers.conv import Conv3d
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class NewFusion(nn.Module):
    """Add projected spike features: rgb + W spike. W begins at zero, so the head begins as the identity.

    Args:
        channels: C of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = Conv3d(channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) with ``spike`` added, of the same shape."""
        return rgb + self.project(spike)
