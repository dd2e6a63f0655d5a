"""The base of fusion heads of plain layers."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.errors import require_positive_integers
from vrtspike.models.layers.checks import check_maps


class FusionHead(nn.Module):
    """Checks channels and maps; subclasses write :meth:`fuse`.

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
        """Return the RGB features fused with ``spike``, after the check of shapes."""
        raise NotImplementedError
