"""Measures the cost of the stages of a network. It depends on no model and no operator."""

from vrtspike.profiling.stages import StageListener, listening, part, stage

__all__ = ['StageListener', 'listening', 'part', 'stage']
