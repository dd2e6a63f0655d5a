"""Running: training, its loops, and the pretraining of the flow network."""

from vrtspike.engine.loops import SkippingIterLoop

__all__ = ['SkippingIterLoop']
