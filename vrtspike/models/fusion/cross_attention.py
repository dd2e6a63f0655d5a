"""Fusion of RGB and spike features by cross-attention along time."""

from __future__ import annotations

from torch import Tensor

from vrtspike.models.layers.maps import from_tokens, to_tokens
from vrtspike.models.layers.temporal_attention import TemporalAttentionBlock
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class TemporalCrossAttention(TemporalAttentionBlock):
    """Attend from a pixel's T RGB features to its T spike features: x = rgb + MHA(LN(rgb), LN(spike)), x += MLP(LN(x)).

    Only the attention runs in chunks; the MLP takes the whole map. There is no gate: the head changes the RGB features
    at full strength from the start. It has 74,976 parameters at 96 channels. Arguments:
    :class:`~vrtspike.models.layers.temporal_attention.TemporalAttentionBlock`.
    """

    inputs = 2

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) fused with ``spike``, of the same shape as ``rgb``."""
        self.check_maps(rgb=rgb, spike=spike)
        # The map is the first term of both sums, so that the result has its memory layout without a copy.
        x = rgb + self.map_chunks(self._attend_to_spikes, rgb, spike)
        return x + from_tokens(self.feed_forward(to_tokens(x)), like=x)

    def _attend_to_spikes(self, rgb: Tensor, spike: Tensor) -> Tensor:
        return from_tokens(self.attend(to_tokens(rgb), to_tokens(spike)), like=rgb)
