"""Temporal self-attention over spike features, one module per variant (registry ``TSA``)."""

from vrtspike.models.tsa.convolution import TemporalConvolution
from vrtspike.models.tsa.identity import IdentityTSA
from vrtspike.models.tsa.relative import RelativeTemporalSelfAttention
from vrtspike.models.tsa.rotary import RotaryTemporalSelfAttention
from vrtspike.models.tsa.selective_scan import TemporalSelectiveScan
from vrtspike.models.tsa.temporal import TemporalSelfAttention
from vrtspike.models.tsa.window import WindowSelfAttention

__all__ = [
    'IdentityTSA',
    'RelativeTemporalSelfAttention',
    'RotaryTemporalSelfAttention',
    'TemporalConvolution',
    'TemporalSelectiveScan',
    'TemporalSelfAttention',
    'WindowSelfAttention',
]
