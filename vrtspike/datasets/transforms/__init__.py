"""Transforms of a clip. All random numbers come from the sample's own generator, ``results['rng']``."""

from vrtspike.datasets.transforms.alone import SpikesAlone
from vrtspike.datasets.transforms.artefacts import ReadArtefact
from vrtspike.datasets.transforms.crops import PairedCenterCrop, PairedRandomCrop
from vrtspike.datasets.transforms.flips import PairedRandomFlip
from vrtspike.datasets.transforms.packing import PackClip
from vrtspike.datasets.transforms.resimulate import Resimulate
from vrtspike.datasets.transforms.sdm import AddNeighbourSDM, AddSDM
from vrtspike.datasets.transforms.spikes import BinSpikes, DropSpikes, RandomThreshold, ResizeSpikes
from vrtspike.datasets.transforms.targets import SDMTargets
