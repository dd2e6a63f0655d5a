"""The instrument: what a network's stages cost."""

from vrtspike.profiling.stages import StageListener, listening, stage

__all__ = ['StageListener', 'listening', 'stage']
