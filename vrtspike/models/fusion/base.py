"""Base class of the fusion heads that are made of plain layers."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.errors import require_positive_integers
from vrtspike.models.layers.checks import check_maps


class FusionHead(nn.Module):
    """Checks channels and maps; subclasses implement :meth:`fuse`.

    Args:
        channels: C, of both maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, channels=channels)
        self.channels = channels

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return the RGB features fused with ``spike``; all are (B, C, T, H, W)."""
        check_maps(self, self.channels, rgb=rgb, spike=spike)
        return self.fuse(rgb, spike)

    def fuse(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return the RGB features fused with ``spike``; the shapes have been checked."""
        raise NotImplementedError
