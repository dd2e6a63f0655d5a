"""Fusion of RGB and spike features by cross-attention along time."""

from __future__ import annotations

from torch import Tensor

from vrtspike.models.layers.temporal_attention import TemporalAttentionBlock, from_tokens, to_tokens
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class TemporalCrossAttention(TemporalAttentionBlock):
    """Let every pixel's T RGB features read its T spike features: x = rgb + MHA(LN(rgb), LN(spike)), x += MLP(LN(x)).

    Only the attention runs chunk by chunk; the MLP takes the whole map. There is no gate: at initialisation the head
    changes the RGB features at full strength. 74,976 parameters at 96 channels. Arguments:
    :class:`~vrtspike.models.layers.temporal_attention.TemporalAttentionBlock`.
    """

    inputs = 2

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features (B, C, T, H, W) that have read ``spike``, of the same shape as ``rgb``."""
        self.check_maps(rgb=rgb, spike=spike)
        # Both sums put the map first: the result then has the memory layout of `rgb` at no extra copy.
        x = rgb + self.map_chunks(self._read, rgb, spike)
        return x + from_tokens(self.feed_forward(to_tokens(x)), like=x)

    def _read(self, rgb: Tensor, spike: Tensor) -> Tensor:
        return from_tokens(self.attend(to_tokens(rgb), to_tokens(spike)), like=rgb)
