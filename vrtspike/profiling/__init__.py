"""The instrument that measures what the stages of a network cost. It knows no model and no operator."""

from vrtspike.profiling.stages import StageListener, listening, part, stage

__all__ = ['StageListener', 'listening', 'part', 'stage']
