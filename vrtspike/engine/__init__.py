"""Running: training, its loops, and the pretraining of the flow network."""

from vrtspike.engine.fully_sharded import FullyShardedStrategy
from vrtspike.engine.loops import SkippingIterLoop
from vrtspike.engine.visualizer import Visualizer

__all__ = ['FullyShardedStrategy', 'SkippingIterLoop', 'Visualizer']
