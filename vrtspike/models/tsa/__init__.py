"""Temporal self-attention over spike features, one module per variant (registry ``TSA``)."""

from vrtspike.models.tsa.temporal import TemporalSelfAttention

__all__ = ['TemporalSelfAttention']
