"""Spike files, their simulation and representation, and the data sets of clips."""

from vrtspike.datasets.clips import ClipDataset, SampleKey
from vrtspike.datasets.demo import write_demo
from vrtspike.datasets.representations import Voxel, tfp
from vrtspike.datasets.samplers import OrdinalSampler
from vrtspike.datasets.scenes import random_motion_pair
from vrtspike.datasets.sequence import Sequence
from vrtspike.datasets.simulator import IntegrateAndFire
from vrtspike.datasets.sources import DemoClips, ProcessedClips
from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat, write_spike_dat
from vrtspike.datasets.transforms import (
    BinSpikes,
    DropSpikes,
    PackClip,
    PairedCenterCrop,
    PairedRandomCrop,
    PairedRandomFlip,
)

__all__ = [
    'BinSpikes',
    'ClipDataset',
    'DemoClips',
    'DropSpikes',
    'IntegrateAndFire',
    'OrdinalSampler',
    'PackClip',
    'PairedCenterCrop',
    'PairedRandomCrop',
    'PairedRandomFlip',
    'ProcessedClips',
    'SampleKey',
    'Sequence',
    'Voxel',
    'count_spike_steps',
    'random_motion_pair',
    'read_spike_dat',
    'tfp',
    'write_demo',
    'write_spike_dat',
]
