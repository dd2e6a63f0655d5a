"""Temporal cross-attention with gates that begin closed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.models.fusion.cross_attention import TemporalCrossAttention
from vrtspike.models.layers.maps import from_tokens, to_tokens
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class GatedTemporalCrossAttention(TemporalCrossAttention):
    """The baseline head with gates: x = rgb + tanh(a) MHA(LN(rgb), LN(spike)), x += tanh(b) MLP(LN(x)).

    The gates a and b have an entry per channel and begin at zero (Flamingo, arXiv 2204.14198), so the head begins as
    the identity and does not disturb a pretrained backbone.

    Args:
        channels: C, of both maps.
        kwargs: Arguments of :class:`~vrtspike.models.fusion.cross_attention.TemporalCrossAttention`.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(channels, **kwargs)
        self.attention_gate = nn.Parameter(torch.zeros(channels, 1, 1, 1))
        self.mlp_gate = nn.Parameter(torch.zeros(channels, 1, 1, 1))

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) fused with ``spike``, of the same shape as ``rgb``."""
        self.check_maps(rgb=rgb, spike=spike)
        x = rgb + self.attention_gate.tanh() * self.map_chunks(self._attend_to_spikes, rgb, spike)
        return x + self.mlp_gate.tanh() * from_tokens(self.feed_forward(to_tokens(x)), like=x)
