"""What every spike encoder asks of its input."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.errors import ConfigError


def check_voxel(encoder: nn.Module, voxel: Tensor) -> None:
    """Raise :class:`ConfigError` unless ``voxel`` is (B, T, K, Hs, Ws) with the K that ``encoder.bins`` says."""
    if voxel.dim() != 5 or voxel.shape[2] != encoder.bins:
        raise ConfigError(
            f'{type(encoder).__name__}(bins={encoder.bins}) was given a voxel of shape {tuple(voxel.shape)}; expected '
            f"(B, T, {encoder.bins}, Hs, Ws): set the encoder's bins to what the spike representation makes"
        )
