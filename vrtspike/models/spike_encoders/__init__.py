"""Spike encoders: voxel grids -> multi-scale features, one module per variant (registry ``SPIKE_ENCODERS``)."""

from vrtspike.models.spike_encoders.conv3d import SpikeEncoder3D
from vrtspike.models.spike_encoders.frames import FrameSpikeEncoder
from vrtspike.models.spike_encoders.patch import PatchSpikeEncoder
from vrtspike.models.spike_encoders.separable import SeparableSpikeEncoder

__all__ = ['FrameSpikeEncoder', 'PatchSpikeEncoder', 'SeparableSpikeEncoder', 'SpikeEncoder3D']
