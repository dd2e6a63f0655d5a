"""Spike files, their simulation and representation, and the data sets of clips."""

from vrtspike.datasets.cache import FileCache
from vrtspike.datasets.clips import ClipDataset, SampleKey
from vrtspike.datasets.demo import write_demo
from vrtspike.datasets.gopro_spike import GoProSpike
from vrtspike.datasets.intensity import TFI, TFSTP
from vrtspike.datasets.layouts import detect_source
from vrtspike.datasets.packed import PackedSpikes
from vrtspike.datasets.representations import TFP, RawWindow, Voxel, tfp
from vrtspike.datasets.rgb_clips import RGBClips
from vrtspike.datasets.samplers import OrdinalSampler
from vrtspike.datasets.scenes import random_motion_pair
from vrtspike.datasets.sequence import Sequence
from vrtspike.datasets.simulator import IntegrateAndFire
from vrtspike.datasets.sources import DemoClips, ProcessedClips
from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat, write_spike_dat
from vrtspike.datasets.spikecv import SpikeCVRecording
from vrtspike.datasets.transforms import (
    BinSpikes,
    DropSpikes,
    PackClip,
    PairedCenterCrop,
    PairedRandomCrop,
    PairedRandomFlip,
    RandomThreshold,
)
from vrtspike.datasets.x4k_spike import X4KSpike

__all__ = [
    'TFI',
    'TFP',
    'TFSTP',
    'BinSpikes',
    'ClipDataset',
    'DemoClips',
    'DropSpikes',
    'FileCache',
    'GoProSpike',
    'IntegrateAndFire',
    'OrdinalSampler',
    'PackClip',
    'PackedSpikes',
    'PairedCenterCrop',
    'PairedRandomCrop',
    'PairedRandomFlip',
    'ProcessedClips',
    'RGBClips',
    'RandomThreshold',
    'RawWindow',
    'SampleKey',
    'Sequence',
    'SpikeCVRecording',
    'Voxel',
    'X4KSpike',
    'count_spike_steps',
    'detect_source',
    'random_motion_pair',
    'read_spike_dat',
    'tfp',
    'write_demo',
    'write_spike_dat',
]
