"""Self-attention along time with rotary time encoding."""

from __future__ import annotations

from vrtspike.models.layers.temporal_attention import RotaryTemporalAttention
from vrtspike.models.tsa.temporal import TemporalSelfAttention
from vrtspike.registry import TSA


@TSA.register_module()
class RotaryTemporalSelfAttention(TemporalSelfAttention):
    """The baseline with queries and keys rotated by their time (RoFormer, arXiv 2104.09864); no more parameters.

    The baseline ignores the order of frames. This variant sees how far apart two frames are, and which comes first.
    Arguments: :class:`~vrtspike.models.layers.temporal_attention.TemporalAttentionBlock`; channels per head must be
    even.
    """

    attention_type = RotaryTemporalAttention
