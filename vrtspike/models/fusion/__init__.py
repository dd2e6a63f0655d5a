"""Fusion heads: RGB features and spike features -> RGB features, one module per variant (registry ``FUSION_HEADS``)."""

from vrtspike.models.fusion.cross_attention import TemporalCrossAttention

__all__ = ['TemporalCrossAttention']
