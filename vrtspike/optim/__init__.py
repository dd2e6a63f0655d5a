"""Optimizer wrappers."""

from vrtspike.optim.amp import DeviceAmpOptimWrapper

__all__ = ['DeviceAmpOptimWrapper']
