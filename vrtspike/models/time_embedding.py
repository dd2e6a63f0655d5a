"""Tells a network which instant of the exposure it restores.

Shapes: B clips, T frames, C channels, H x W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import require_positive_integers
from vrtspike.registry import MODELS


@MODELS.register_module()
class TimeEmbedding(nn.Module):
    """Add a learnt function of the instant to every frame's features.

    The function is a weighted sum of ``sin(2 pi k d)`` and ``1 - cos(2 pi k d)``, where d is the distance from the
    middle of the exposure and 2k = 1, 2, ... The weights are zero before training. In the middle (0.5), the function is
    zero whatever the weights: there the network is the one without an embedding.

    Args:
        channels: C, of the features; filled in by the restorer.
        frequencies: Number of frequencies k.

    Raises:
        ConfigError: An argument is not a positive integer.
    """

    def __init__(self, channels: int, frequencies: int = 4) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, channels=channels, frequencies=frequencies)
        self.frequencies = frequencies
        self.linear = nn.Linear(2 * frequencies, channels, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, features: Tensor, instant: Tensor) -> Tensor:
        """Return the features (B, C, T, H, W) of frames that are to be restored at ``instant`` (B, T), 0 to 1."""
        k = torch.arange(1, self.frequencies + 1, device=instant.device)
        angles = torch.pi * k * (instant[..., None] - 0.5)
        embedding = self.linear(torch.cat((angles.sin(), 1 - angles.cos()), dim=-1))  # (B, T, C)
        return features + embedding.transpose(1, 2)[..., None, None].to(features.dtype)
