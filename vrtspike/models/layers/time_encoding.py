"""Attention along time that knows how far apart frames are.

Shapes: N sequences, T tokens (frames), C channels, D channels per head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError
from vrtspike.models.layers.temporal_attention import TemporalAttention

MAX_DISTANCE = 16
"""Frames further apart than this share the bias of the furthest."""

BASE = 100.0
"""Wavelengths of rotary encoding grow from 2*pi frames to 2*pi*BASE: clips have few frames."""


class RotaryTemporalAttention(TemporalAttention):
    """Temporal attention whose queries and keys are turned by their time (RoFormer, arXiv 2104.09864).

    With R_t the rotation of channel pairs (2i, 2i+1) by t * BASE^(-2i/D), the score of frames s and t is
    (R_s q_s)·(R_t k_t) = q_s R_(t-s) k_t: it depends on their distance alone, in both directions.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, time_slope: float = 0.0) -> None:
        super().__init__(channels, heads, dropout, time_slope)
        if channels // heads % 2:
            raise ConfigError(
                f'rotary encoding turns pairs of channels, but channels={channels} and heads={heads} make '
                f'{channels // heads} channels per head; choose another number of heads'
            )

    def encode_time(self, tokens: Tensor) -> Tensor:
        """Return queries or keys (N, heads, T, D) turned by their time."""
        frames, width = tokens.shape[-2:]
        frequency = BASE ** (-torch.arange(0, width, 2, device=tokens.device) / width)
        angle = torch.arange(frames, device=tokens.device)[:, None] * frequency
        cos, sin = angle.cos().to(tokens.dtype), angle.sin().to(tokens.dtype)
        even, odd = tokens[..., 0::2], tokens[..., 1::2]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class RelativeTemporalAttention(TemporalAttention):
    """Temporal attention with a learnt bias per head and distance in frames (arXiv 1910.10683).

    The score of frames s and t gets b[head, t - s]; b begins at zero, which is attention without a sense of time.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0, time_slope: float = 0.0) -> None:
        super().__init__(channels, heads, dropout, time_slope)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * MAX_DISTANCE + 1))

    def time_bias(self, frames: int, like: Tensor) -> Tensor:
        """Return what is added to the scores, (heads, T, T)."""
        time = torch.arange(frames, device=like.device)
        distance = (time - time[:, None]).clamp(-MAX_DISTANCE, MAX_DISTANCE)
        learnt = self.bias[:, distance + MAX_DISTANCE].to(like.dtype)
        slopes = super().time_bias(frames, like)
        return learnt if slopes is None else learnt + slopes
