"""Peak memory of the process, and on a GPU of every stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil
import torch

from vrtspike.records.stage_costs import Owner
from vrtspike.runtime.device import MIB, peak_memory, reset_peak_memory

_peak_before_reset: Counter[torch.device] = Counter()
"""By GPU, the highest peak in bytes before the last :func:`reset_stage_peak`."""


def peak_memory_mib(device: torch.device) -> float | None:
    """Return the peak of the memory allocated on a GPU, or for the CPU resident in the process; None if not known."""
    with suppress(OSError):
        return max(peak_memory(device), _peak_before_reset[device]) / MIB
    return None


def memory_gauge(device: torch.device) -> Callable[[], float]:
    """Return a function that returns the MiB in use: allocated on the GPU, or resident in the process without a GPU."""
    if device.type == 'cuda':
        return lambda: torch.cuda.memory_allocated(device) / MIB
    process = psutil.Process()
    return lambda: process.memory_info().rss / MIB


def reset_stage_peak(device: torch.device) -> int:
    """Return a GPU's peak in bytes since the last reset, and reset it; :func:`peak_memory_mib` still includes it."""
    peak = peak_memory(device)
    _peak_before_reset[device] = max(_peak_before_reset[device], peak)
    reset_peak_memory(device)
    return peak


@contextmanager
def left_out_of_peak(device: torch.device) -> Iterator[None]:
    """Leave what the block allocates on a GPU out of all peaks, and give it back to the system at the end."""
    if device.type != 'cuda':
        yield
        return
    reset_stage_peak(device)
    try:
        yield
    finally:
        torch.cuda.empty_cache()
        reset_peak_memory(device)


class StageMemory:
    """Memory of the stages of one iteration on a GPU, measured at the marks of a StageTimer.

    The counters of the allocator are on the host, so reading them does not wait for the GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak: dict[str, int] = {}
        """By stage, the most bytes that were allocated while it ran, in any phase."""
        self.allocated: dict[str, int] = {}
        """By stage, the bytes that its forward pass left allocated."""
        self._at_mark = torch.cuda.memory_allocated(device)
        reset_stage_peak(device)

    def on_mark(self, before: Owner, after: Owner) -> None:
        """Update the memory if the stage or the phase changes."""
        if (before.stage, before.phase) == (after.stage, after.phase):
            return
        now = torch.cuda.memory_allocated(self.device)
        self.peak[before.stage] = max(self.peak.get(before.stage, 0), reset_stage_peak(self.device))
        if before.phase == 'forward':
            self.allocated[before.stage] = self.allocated.get(before.stage, 0) + now - self._at_mark
        self._at_mark = now
