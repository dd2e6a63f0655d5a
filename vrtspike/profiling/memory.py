"""Peak memory of the process, and on a GPU of every stage."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psutil
import torch

from vrtspike.records.stage_costs import Owner
from vrtspike.runtime.device import MIB, peak_resident_memory

_peak_before_reset = 0
"""The highest peak in bytes before the last :func:`reset_stage_peak`."""


def peak_memory_mib() -> float | None:
    """Return the peak memory allocated on the GPU, or resident in the process without a GPU; None if not known."""
    if torch.cuda.is_available():
        return max(torch.cuda.max_memory_allocated(), _peak_before_reset) / MIB
    with suppress(OSError):
        return peak_resident_memory() / MIB
    return None


def memory_gauge(device: torch.device) -> Callable[[], float]:
    """Return a function that returns the MiB in use: allocated on the GPU, or resident in the process without a GPU."""
    if device.type == 'cuda':
        return lambda: torch.cuda.memory_allocated(device) / MIB
    process = psutil.Process()
    return lambda: process.memory_info().rss / MIB


def reset_stage_peak() -> int:
    """Return the peak in bytes since the last reset, and reset it. :func:`peak_memory_mib` still includes it."""
    global _peak_before_reset
    peak = torch.cuda.max_memory_allocated()
    _peak_before_reset = max(_peak_before_reset, peak)
    torch.cuda.reset_peak_memory_stats()
    return peak


class StageMemory:
    """Memory of the stages of one iteration on a GPU, measured at the marks of a StageTimer.

    The counters of the allocator are on the host, so reading them does not wait for the GPU.
    """

    def __init__(self) -> None:
        self.peak: dict[str, int] = {}
        """By stage, the most bytes that were allocated while it ran, in any phase."""
        self.allocated: dict[str, int] = {}
        """By stage, the bytes that its forward pass left allocated."""
        self._at_mark = torch.cuda.memory_allocated()
        reset_stage_peak()

    def on_mark(self, before: Owner, after: Owner) -> None:
        """Update the memory if the stage or the phase changes."""
        if (before.stage, before.phase) == (after.stage, after.phase):
            return
        now = torch.cuda.memory_allocated()
        self.peak[before.stage] = max(self.peak.get(before.stage, 0), reset_stage_peak())
        if before.phase == 'forward':
            self.allocated[before.stage] = self.allocated.get(before.stage, 0) + now - self._at_mark
        self._at_mark = now
