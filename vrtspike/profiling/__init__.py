"""The instrument: what a network's stages cost."""

from vrtspike.profiling.stages import StageListener, listening, part, stage

__all__ = ['StageListener', 'listening', 'part', 'stage']
