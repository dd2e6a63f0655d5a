"""Peak memory: of the whole run, and of every stage on a GPU."""

from __future__ import annotations

from contextlib import suppress

import torch

from vrtspike.records.stage_costs import Owner
from vrtspike.runtime.device import MIB, peak_resident_memory

_peak_before_reset = 0
"""Bytes on the GPU: the peak that the latest :func:`reset_stage_peak` forgot."""


def peak_memory_mib() -> float | None:
    """Return the most memory allocated on the GPU, or without one resident in this process; None if unknown."""
    if torch.cuda.is_available():
        return max(torch.cuda.max_memory_allocated(), _peak_before_reset) / MIB
    with suppress(OSError):
        return peak_resident_memory() / MIB
    return None


def reset_stage_peak() -> int:
    """Return the peak in bytes since the last reset and begin anew; :func:`peak_memory_mib` remembers it."""
    global _peak_before_reset
    peak = torch.cuda.max_memory_allocated()
    _peak_before_reset = max(_peak_before_reset, peak)
    torch.cuda.reset_peak_memory_stats()
    return peak


class StageMemory:
    """Memory of the stages of one iteration on a GPU, told by a :class:`~vrtspike.profiling.timer.StageTimer`.

    The allocator's counters are the host's: reading them does not wait for the GPU.
    """

    def __init__(self) -> None:
        self.peak: dict[str, int] = {}
        """Bytes, by stage: the most that was allocated while it ran, in any phase."""
        self.allocated: dict[str, int] = {}
        """Bytes, by stage: what its forward pass left allocated, less what it found."""
        self._at_mark = torch.cuda.memory_allocated()
        reset_stage_peak()

    def on_mark(self, before: Owner, after: Owner) -> None:
        """Take stock where the stage or its phase changes."""
        if (before.stage, before.phase) == (after.stage, after.phase):
            return
        now = torch.cuda.memory_allocated()
        self.peak[before.stage] = max(self.peak.get(before.stage, 0), reset_stage_peak())
        if before.phase == 'forward':
            self.allocated[before.stage] = self.allocated.get(before.stage, 0) + now - self._at_mark
        self._at_mark = now
