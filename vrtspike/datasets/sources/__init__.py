"""Data sets as users have them, one layout to a file (registry ``DATASETS``)."""

from vrtspike.datasets.sources.gopro_spike import GoProSpike
from vrtspike.datasets.sources.processed import DemoClips, ProcessedClips
from vrtspike.datasets.sources.rgb_clips import RGBClips
from vrtspike.datasets.sources.spikecv import SpikeCVRecording
from vrtspike.datasets.sources.x4k_spike import X4KSpike

__all__ = ['DemoClips', 'GoProSpike', 'ProcessedClips', 'RGBClips', 'SpikeCVRecording', 'X4KSpike']
