"""Spike files, their simulation and representation, and data sets of clips; the import registers all parts."""

from vrtspike.datasets.clips import ClipDataset, SampleKey
from vrtspike.datasets.io.file_cache import FileCache
from vrtspike.datasets.io.packed_spikes import PackedSpikes
from vrtspike.datasets.representations.counts import TFP, RawWindow, Voxel, tfp
from vrtspike.datasets.representations.intensity import TFI, TFSTP
from vrtspike.datasets.samplers import OrdinalSampler
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.datasets.simulation.demo import write_demo
from vrtspike.datasets.sources.detection import detect_source
from vrtspike.datasets.sources.gopro_spike import GoProSpike
from vrtspike.datasets.sources.lmdb_frames import LMDBFrames
from vrtspike.datasets.sources.mixed import MixedClips
from vrtspike.datasets.sources.processed import DemoClips, ProcessedClips, RGBClips
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.sources.spikecv import SpikeCVRecording
from vrtspike.datasets.sources.spikezoo import SpikeZooBase
from vrtspike.datasets.sources.ssdm import SSDMGoPro, SSDMReal
from vrtspike.datasets.sources.x4k_spike import X4KSpike
from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat, write_spike_dat
from vrtspike.datasets.transforms import (
    AddNeighbourSDM,
    AddSDM,
    BinSpikes,
    DropSpikes,
    PackClip,
    PairedCenterCrop,
    PairedRandomCrop,
    PairedRandomFlip,
    RandomThreshold,
    ReadArtefact,
    Resimulate,
    SDMTargets,
    SpikesAlone,
)
