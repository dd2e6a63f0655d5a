"""Spike files, their simulation and representation, and the data sets of clips."""

from vrtspike.datasets.clips import ClipDataset, SampleKey
from vrtspike.datasets.io.file_cache import FileCache
from vrtspike.datasets.io.packed_spikes import PackedSpikes
from vrtspike.datasets.representations.counts import TFP, RawWindow, Voxel, tfp
from vrtspike.datasets.representations.intensity import TFI, TFSTP
from vrtspike.datasets.samplers import OrdinalSampler
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.simulation.demo import write_demo
from vrtspike.datasets.simulation.scenes import random_motion_pair
from vrtspike.datasets.sources.detection import detect_source
from vrtspike.datasets.sources.gopro_spike import GoProSpike
from vrtspike.datasets.sources.processed import DemoClips, ProcessedClips, RGBClips
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.sources.spikecv import SpikeCVRecording
from vrtspike.datasets.sources.x4k_spike import X4KSpike
from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat, write_spike_dat
from vrtspike.datasets.transforms import (
    BinSpikes,
    DropSpikes,
    PackClip,
    PairedCenterCrop,
    PairedRandomCrop,
    PairedRandomFlip,
    RandomThreshold,
)

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
