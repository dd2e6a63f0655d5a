"""Replays the changes that a MemoryTracker recorded: what holds the memory at a moment, and over an iteration."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vrtspike.profiling.memory_tracker import Change
from vrtspike.records.memory import KINDS, Holder, MemoryTimeline
from vrtspike.runtime.device import MIB

MOMENTS = 600
"""Largest number of moments in a timeline."""

Running = Sequence[tuple[int, str]]
"""Times at which another stage began to run, with its name."""


class MemoryReplay:
    """The memory of every holder after every change.

    Args:
        changes: In the order of their times.
    """

    def __init__(self, changes: Sequence[Change]) -> None:
        names = dict.fromkeys(holder for _, holder, _ in changes)
        order = list(KINDS)
        self.holders = sorted(names, key=lambda holder: order.index(holder.kind))
        """In the order of KINDS, those of one kind in the order of their first change."""
        rows = {holder: i for i, holder in enumerate(self.holders)}
        self.times = [at for at, _, _ in changes]
        self._rows = np.array([rows[holder] for _, holder, _ in changes])
        self._deltas = np.array([delta for _, _, delta in changes], dtype=np.int64)

    def at_peak(self, at: int, ends: Sequence[int]) -> dict[Holder, int]:
        """Return the bytes of every holder while an operator runs, with what it returns.

        Args:
            at: A time within the operator.
            ends: When each operator ended.
        """
        after = bisect_right(self.times, at)
        end = bisect_left(ends, at)
        kept = np.zeros(len(self.times), dtype=bool)
        kept[:after] = True
        if end < len(ends):
            returned = slice(bisect_left(self.times, ends[end], after), bisect_right(self.times, ends[end], after))
            kept[returned] = self._deltas[returned] > 0
        sums = np.bincount(self._rows[kept], self._deltas[kept], len(self.holders))
        return {holder: int(nbytes) for holder, nbytes in zip(self.holders, sums, strict=True) if nbytes}

    def timeline(self, began: int, running: Running) -> MemoryTimeline:
        """Return the memory over time, at most at MOMENTS moments: the highest of every stretch of the iteration."""
        start = max(bisect_right(self.times, began) - 1, 0)
        sums = np.cumsum(self._deltas)[start:]
        bins = np.linspace(0, len(sums), min(MOMENTS, len(sums)) + 1).astype(int)
        moments = [start + low + int(np.argmax(sums[low:high])) for low, high in pairwise(bins)]
        values = np.zeros((len(moments), len(self.holders)))
        last = -1
        for i, moment in enumerate(moments):
            part = slice(last + 1, moment + 1)
            values[i] = np.bincount(self._rows[part], self._deltas[part], len(self.holders))
            last = moment
        values = np.maximum(np.cumsum(values, axis=0) / MIB, 0)
        return MemoryTimeline(
            ms=[round(max(self.times[moment] - began, 0) / 1e6, 3) for moment in moments],
            running=[stage_at(running, self.times[moment]) for moment in moments],
            mib={
                holder.name: [round(value, 3) for value in values[:, i].tolist()]
                for i, holder in enumerate(self.holders)
            },
        )


def stage_at(running: Running, at: int) -> str:
    """Return the stage that runs at a time."""
    return running[max(bisect_right(running, at, key=lambda each: each[0]) - 1, 0)][1]
