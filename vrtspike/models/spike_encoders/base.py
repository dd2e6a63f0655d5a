"""Base of the spike encoders that compute each map from the previous one.

Shapes: B clips, T frames, K temporal bins per frame, C channels, Hs x Ws spike pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive_integers


class PyramidEncoder(nn.Module):
    """Runs the modules of ``self.scales`` in order; each computes its map from the previous one. Subclasses build them.

    Args:
        bins: K, temporal bins of a voxel grid.
        channels: C, of every map.
        scales: Number of maps.
        **counts: Further arguments of the subclass that must be positive integers.

    Raises:
        ConfigError: An argument is not a positive integer.
    """

    scales: nn.ModuleList
    casts_together = True
    """All layers compute in autocast's type, see :func:`~vrtspike.models.layers.cast_weights.cast_where_allowed`."""

    def __init__(self, bins: int, channels: int, scales: int, **counts: int) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, bins=bins, channels=channels, scales=scales, **counts)
        self.bins = bins
        self.channels = (channels,) * scales

    def forward(self, voxel: Tensor) -> list[Tensor]:
        """Encode ``voxel`` (B, T, K, Hs, Ws).

        Returns:
            One map (B, C, T, ceil(Hs / 2^i), ceil(Ws / 2^i)) per scale i.

        Raises:
            ConfigError: ``voxel`` has other dimensions or another number of bins.
        """
        if voxel.dim() != 5 or voxel.shape[2] != self.bins:
            raise ConfigError(
                f'{type(self).__name__}(bins={self.bins}) was given a voxel grid of shape {tuple(voxel.shape)}; '
                f"expected (B, T, {self.bins}, Hs, Ws): set the encoder's bins to those of the spike representation"
            )
        return self.encode(voxel)

    def encode(self, voxel: Tensor) -> list[Tensor]:
        """Return the maps of a voxel grid; its shape has been checked."""
        x, maps = voxel.transpose(1, 2), []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        return maps
