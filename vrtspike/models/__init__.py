"""Restorers and their parts."""

from vrtspike.models.backbones import VRT, VRTLite
from vrtspike.models.fusion import TemporalCrossAttention
from vrtspike.models.losses import CharbonnierLoss
from vrtspike.models.preprocessor import SpikePreprocessor
from vrtspike.models.restorer import SpikeRestorer
from vrtspike.models.spike_encoders import SpikeEncoder3D
from vrtspike.models.tsa import TemporalSelfAttention

__all__ = [
    'VRT',
    'CharbonnierLoss',
    'SpikeEncoder3D',
    'SpikePreprocessor',
    'SpikeRestorer',
    'TemporalCrossAttention',
    'TemporalSelfAttention',
    'VRTLite',
]
