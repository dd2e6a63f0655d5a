"""The roofline (Williams et al., doi 10.1145/1498765.1498785): the least time that a device needs for some work.

Work of M multiply-accumulates that moves D bytes takes at least max(M / matrix rate, D / copy bandwidth).
"""

from __future__ import annotations

import msgspec

from vrtspike.records.stage_costs import CountedCost, Rates
from vrtspike.runtime.device import MIB


class Work(msgspec.Struct, frozen=True):
    """Multiply-accumulates, and memory that is read and written."""

    gmacs: float
    mib: float

    @property
    def macs_per_byte(self) -> float | None:
        """Return the arithmetic intensity, None if no memory is moved."""
        return self.gmacs * 1e9 / (self.mib * MIB) if self.mib else None


class LeastTime(msgspec.Struct, frozen=True):
    """The time for the arithmetic alone and for the memory alone. The longer one is the limit."""

    compute_ms: float
    memory_ms: float

    @property
    def ms(self) -> float:
        """Return the least time."""
        return max(self.compute_ms, self.memory_ms)

    @property
    def bound(self) -> str:
        """Return what limits: 'compute' or 'memory'."""
        return 'compute' if self.compute_ms >= self.memory_ms else 'memory'


def batch_work(cost: CountedCost, clips: float, precision: str) -> Work:
    """Return the work of a batch's forward pass.

    Args:
        cost: Of one clip; its memory is counted at four bytes per value.
        clips: In the batch.
        precision: What the network computes in. All but ``float32`` take two bytes per value.
    """
    share = 1.0 if precision == 'float32' else 0.5
    return Work(cost.gmacs * clips, cost.mib * clips * share)


def least_time(work: Work, rates: Rates) -> LeastTime:
    """Return the least time that a device with these rates needs."""
    return LeastTime(work.gmacs / rates.gmacs_per_s * 1e3, work.mib / 1024 / rates.gib_per_s * 1e3)
