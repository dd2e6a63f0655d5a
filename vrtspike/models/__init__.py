"""Restorers and their parts."""

from vrtspike.models.backbones import VRT, ResidualCNN, VRTLite
from vrtspike.models.distiller import DistilledRestorer
from vrtspike.models.fusion import TemporalCrossAttention
from vrtspike.models.losses import CharbonnierLoss, PerceptualLoss, SumLoss
from vrtspike.models.preprocessor import SpikePreprocessor
from vrtspike.models.restorer import SpikeRestorer
from vrtspike.models.spike_encoders import SpikeEncoder3D
from vrtspike.models.time_embedding import TimeEmbedding
from vrtspike.models.tsa import TemporalSelfAttention

__all__ = [
    'VRT',
    'CharbonnierLoss',
    'DistilledRestorer',
    'PerceptualLoss',
    'ResidualCNN',
    'SpikeEncoder3D',
    'SpikePreprocessor',
    'SpikeRestorer',
    'SumLoss',
    'TemporalCrossAttention',
    'TemporalSelfAttention',
    'TimeEmbedding',
    'VRTLite',
]
