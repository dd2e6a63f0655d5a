"""The peak of the memory that PyTorch's allocator gave out in a block of code, and when it was reached."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple, Protocol

import torch

from vrtspike.profiling.memory import reset_stage_peak
from vrtspike.runtime.device import peak_memory


class AllocatorPeak(NamedTuple):
    """The most bytes that were allocated, and when, in nanoseconds since the epoch."""

    nbytes: int
    at: int


Changes = Iterable[tuple[int, int]]
"""Pairs of a time and a change in bytes."""


class AllocatorWatch(Protocol):
    """Watches the allocator of a device."""

    def __enter__(self) -> AllocatorWatch: ...

    def __exit__(self, *exception: object) -> None: ...

    def after_operator(self) -> None:
        """Called after every operator."""

    def peak(self, old_bytes: int, old_ends: Changes) -> AllocatorPeak:
        """Return the peak, after the block.

        Args:
            old_bytes: Memory of tensors from before the block, for allocators that do not know their total.
            old_ends: When some of it was freed, with minus its bytes.
        """


class CpuWatch:
    """Reads the allocations on the CPU from a trace of ``torch.profiler``, including those inside of operators."""

    def __init__(self) -> None:
        activities = [torch.profiler.ProfilerActivity.CPU]
        self._profile = torch.profiler.profile(activities=activities, profile_memory=True)
        self._began = 0

    def __enter__(self) -> CpuWatch:
        if torch.autograd._profiler_enabled():
            raise RuntimeError('another profiler is running, which this one would stop')
        self._profile.start()
        self._began = time.time_ns()
        return self

    def __exit__(self, *exception: object) -> None:
        self._profile.stop()

    def after_operator(self) -> None:
        """Do nothing: the trace is read at the end."""

    def peak(self, old_bytes: int, old_ends: Changes) -> AllocatorPeak:
        """Return the peak. The trace lacks what was allocated before it, also when that is freed."""
        events = self._profile.profiler.kineto_results.events()
        on_cpu = torch.autograd.DeviceType.CPU
        traced = [(e.start_ns(), e.nbytes()) for e in events if e.name() == '[memory]' and e.device_type() == on_cpu]
        return highest([(self._began, old_bytes), *traced, *old_ends])


class CudaWatch:
    """Reads the allocator's own peak, and looks after every operator whether it has risen."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._highest = AllocatorPeak(0, 0)

    def __enter__(self) -> CudaWatch:
        reset_stage_peak(self.device)
        self.after_operator()
        return self

    def __exit__(self, *exception: object) -> None:
        self.after_operator()

    def after_operator(self) -> None:
        """Record the peak. The counter is on the host, so this does not wait for the GPU."""
        nbytes = peak_memory(self.device)
        if nbytes > self._highest.nbytes:
            self._highest = AllocatorPeak(nbytes, time.time_ns())

    def peak(self, old_bytes: int, old_ends: Changes) -> AllocatorPeak:
        """Return the peak."""
        return self._highest


def watch_of(device: torch.device) -> AllocatorWatch:
    """Return what watches the allocator of a device."""
    return CudaWatch(device) if device.type == 'cuda' else CpuWatch()


def highest(changes: Changes) -> AllocatorPeak:
    """Return the highest sum of the changes in the order of their times."""
    ordered = sorted(changes, key=lambda change: change[0])
    sums = list(accumulate(nbytes for _, nbytes in ordered))
    i = max(range(len(sums)), key=sums.__getitem__)
    return AllocatorPeak(sums[i], ordered[i][0])
