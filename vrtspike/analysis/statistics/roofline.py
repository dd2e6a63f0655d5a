"""Tells stages that are slow because they are big from stages that are slow because they are inefficient.

The least time of a stage's forward pass follows from its arithmetic, its memory traffic and the measured rates of the
device (see :mod:`vrtspike.records.roofline`). The efficiency of the stage is the least time over the measured time.
Memory traffic is counted operator by operator. Fused kernels and caches move less, so where memory is the bound, the
efficiency is an upper estimate and may exceed 1.
"""

from __future__ import annotations

import msgspec

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.samples import SampleTable
from vrtspike.records.roofline import Work, batch_work, least_time
from vrtspike.records.stage_costs import Rates

BIG_FROM, INEFFICIENT_BELOW = 0.5, 0.25
"""Efficiencies at which a stage counts as slow because it is big, and as slow because it is inefficient."""


class RooflinePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A stage's forward pass below the roofline."""

    gmacs: float
    mib: float
    gmacs_per_s: float
    macs_per_byte: float | None
    compute_ms: float
    memory_ms: float
    bound: str
    """'compute' or 'memory'."""
    efficiency: float
    """Least time over measured time."""
    verdict: str
    """'big', 'inefficient' or 'between'."""


def roofline(log: RunLog, costs: SampleTable) -> dict[str, RooflinePoint]:
    """Return the report's ``roofline`` by stage; empty if the log has no counted costs or no rates."""
    counted, rates = log.describe('costs'), log.describe('rates')
    clips = costs.mean('clips')
    if not counted or not clips or not rates or not rates.gmacs_per_s or not rates.gib_per_s:
        return {}
    precision = log.describe('precision', 'float32')
    points = {}
    for stage in log.stages():
        forward_ms = costs.mean(f'stages/{stage}/forward_ms')
        if forward_ms and stage in counted and counted[stage].gmacs:
            points[stage] = roofline_point(batch_work(counted[stage], clips, precision), forward_ms, rates)
    return points


def roofline_point(work: Work, forward_ms: float, rates: Rates) -> RooflinePoint:
    """Compare a stage with the device's roofline.

    Args:
        work: Of the stage's forward pass.
        forward_ms: Measured time.
        rates: Of the device.
    """
    least = least_time(work, rates)
    efficiency = least.ms / forward_ms
    return RooflinePoint(
        gmacs=work.gmacs,
        mib=work.mib,
        gmacs_per_s=work.gmacs / forward_ms * 1e3,
        macs_per_byte=work.macs_per_byte,
        compute_ms=least.compute_ms,
        memory_ms=least.memory_ms,
        bound=least.bound,
        efficiency=efficiency,
        verdict='big' if efficiency >= BIG_FROM else 'inefficient' if efficiency < INEFFICIENT_BELOW else 'between',
    )
