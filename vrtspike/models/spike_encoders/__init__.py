"""Spike encoders: voxels -> multi-scale features, one module per variant (registry ``SPIKE_ENCODERS``)."""

from vrtspike.models.spike_encoders.conv3d import SpikeEncoder3D

__all__ = ['SpikeEncoder3D']
