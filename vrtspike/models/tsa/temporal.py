"""Self-attention along time over the spike features of one scale."""

from __future__ import annotations

from torch import Tensor

from vrtspike.models.layers.maps import from_tokens, to_tokens
from vrtspike.models.layers.temporal_attention import TemporalAttentionBlock
from vrtspike.registry import TSA


@TSA.register_module()
class TemporalSelfAttention(TemporalAttentionBlock):
    """Let every pixel's T spike features attend to each other: x += MHA(LN(x)), then x += MLP(LN(x)).

    Attention and MLP both run in chunks, so neither needs memory for the whole map. The block has 74,784
    parameters at 96 channels. Arguments: :class:`~vrtspike.models.layers.temporal_attention.TemporalAttentionBlock`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        self.check_maps(x=x)
        return self.map_chunks(self._refine, x)

    def _refine(self, chunk: Tensor) -> Tensor:
        tokens = to_tokens(chunk)
        tokens = tokens + self.attend(tokens)
        tokens = tokens + self.feed_forward(tokens)
        return from_tokens(tokens, like=chunk)
