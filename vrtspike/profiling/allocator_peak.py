"""The peak of the memory that PyTorch's allocator gave out in a block of code, and when it was reached."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

import torch
from torch._C._profiler import _EventType

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
        """Return the peak."""
        return highest([(self._began, old_bytes), *self._traced(), *old_ends])

    def _traced(self) -> Changes:
        """Yield the changes by blocks that this trace saw from their beginning.

        It also tells the end of blocks that an earlier trace of the process saw, and those count as old.
        """
        blocks = set()
        for event in self._memory_events():
            block, nbytes = event.extra_fields.ptr, event.extra_fields.alloc_size
            if nbytes > 0:
                blocks.add(block)
            elif block in blocks:
                blocks.remove(block)
            else:
                continue
            yield event.start_time_ns, nbytes

    def _memory_events(self) -> list[Any]:
        """Return the trace's allocations and ends of blocks on the CPU, in the order of time."""
        events, found = list(self._profile.profiler.kineto_results.experimental_event_tree()), []
        while events:
            event = events.pop()
            events += event.children
            if event.tag == _EventType.Allocation and event.extra_fields.device.type == 'cpu':
                found.append(event)
        return sorted(found, key=lambda event: event.start_time_ns)


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
