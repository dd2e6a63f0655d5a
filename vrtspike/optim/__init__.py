"""Optimizer wrappers, and the events of their steps."""

from vrtspike.optim.amp import DeviceAmpOptimWrapper
from vrtspike.optim.step_events import StepListener, subscribe, unsubscribe
from vrtspike.optim.wrapper import OptimWrapper

__all__ = ['DeviceAmpOptimWrapper', 'OptimWrapper', 'StepListener', 'subscribe', 'unsubscribe']
