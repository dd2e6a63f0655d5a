"""Self-attention along time with a learnt bias per distance."""

from __future__ import annotations

from vrtspike.models.layers.temporal_attention import RelativeTemporalAttention
from vrtspike.models.tsa.temporal import TemporalSelfAttention
from vrtspike.registry import TSA


@TSA.register_module()
class RelativeTemporalSelfAttention(TemporalSelfAttention):
    """The baseline with a learnt bias on the scores, per head and distance in frames (T5, arXiv 1910.10683).

    Biases begin at zero, so it begins as the baseline. Arguments:
    :class:`~vrtspike.models.layers.temporal_attention.TemporalAttentionBlock`.
    """

    attention_type = RelativeTemporalAttention
