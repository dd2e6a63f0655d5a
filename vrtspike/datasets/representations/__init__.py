"""Representations of the spikes of one exposure (registry ``REPRESENTATIONS``)."""

from vrtspike.datasets.representations.counts import TFP, RawWindow, Voxel, tfp
from vrtspike.datasets.representations.intensity import TFI, TFSTP
