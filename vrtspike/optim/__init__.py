"""Optimizer wrappers, and the events of their steps."""

from vrtspike.optim.amp import DeviceAmpOptimWrapper
from vrtspike.optim.step_events import StepListener, subscribe, unsubscribe

__all__ = ['DeviceAmpOptimWrapper', 'StepListener', 'subscribe', 'unsubscribe']
