"""Fusion heads: RGB features and spike features -> RGB features, one module per variant (registry ``FUSION_HEADS``)."""

from vrtspike.models.fusion.channel_attention import ChannelCrossAttention
from vrtspike.models.fusion.concat import ConcatFusion
from vrtspike.models.fusion.cross_attention import TemporalCrossAttention
from vrtspike.models.fusion.deformable import DeformableFusion
from vrtspike.models.fusion.early import EarlyFusion
from vrtspike.models.fusion.gated import GatedFusion
from vrtspike.models.fusion.gated_cross_attention import GatedTemporalCrossAttention
from vrtspike.models.fusion.pixel_adaptive import PixelAdaptiveFusion
from vrtspike.models.fusion.selective_scan import SelectiveScanFusion
from vrtspike.models.fusion.window_cross_attention import WindowCrossAttention

__all__ = [
    'ChannelCrossAttention',
    'ConcatFusion',
    'DeformableFusion',
    'EarlyFusion',
    'GatedFusion',
    'GatedTemporalCrossAttention',
    'PixelAdaptiveFusion',
    'SelectiveScanFusion',
    'TemporalCrossAttention',
    'WindowCrossAttention',
]
