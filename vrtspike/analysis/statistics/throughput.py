"""How fast a run is: iterations, clips and frames per second, and how long each rank works."""

from __future__ import annotations

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.resampling import Blocks, interval
from vrtspike.analysis.statistics.samples import SampleTable


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Rates over all ranks together; None if unknown."""

    iterations_per_s: float | None = None
    clips_per_s: float | None = None
    clips_per_s_interval: list[float] | None = None
    frames_per_s: float | None = None


class RankTimes(msgspec.Struct, frozen=True):
    """Milliseconds per iteration that each rank needs for its own work."""

    own_ms: dict[str, float]
    slowest: int
    slowest_to_others: float | None
    """Ratio of the slowest rank's time to the mean of the others."""


def throughput(log: RunLog, costs: SampleTable) -> Throughput:
    """Return iterations, clips and frames per second over all ranks together.

    Only our own records have the clips of an iteration. The ``samples_per_s`` of the older code's training log count
    as clips.
    """
    whole = costs.total('iteration_ms')
    rates: dict[str, float] = {}
    tables = list(log.ranks().values()) if whole else []
    for key in ('clips', 'frames'):
        if tables and costs.number(key):
            rates[key] = sum(table.total(key) / table.total('iteration_ms') for table in tables) * 1e3
    clips_per_s = rates.get('clips')
    logged = log.series.get('samples_per_s')
    return Throughput(
        iterations_per_s=costs.number('iteration_ms') / whole * 1e3 if whole else None,
        clips_per_s=float(np.median(logged.points()[1])) if clips_per_s is None and logged else clips_per_s,
        clips_per_s_interval=None if clips_per_s is None else _clips_interval(costs, clips_per_s, len(tables)),
        frames_per_s=rates.get('frames'),
    )


def _clips_interval(costs: SampleTable, estimate: float, ranks: int) -> list[float] | None:
    blocks = Blocks.of(np.column_stack([costs.column('iteration_ms'), costs.column('clips')]))
    return interval(estimate, ranks * blocks.ratios()[:, 0] * 1e3, blocks.number) if blocks.enough else None


def rank_times(log: RunLog) -> RankTimes | None:
    """Return how long the own work of each rank takes, None if there is only one rank.

    All ranks take the same time per iteration, because they wait for the slowest in communication. The slowest rank is
    the one that waits least.
    """
    tables = log.ranks()
    if len(tables) < 2:
        return None
    own = {}
    for rank, table in tables.items():
        waited = table.total('stages/communication/total_ms')
        own[rank] = (table.total('iteration_ms') - waited) / table.number('iteration_ms')
    slowest = max(own, key=own.get)
    others = [ms for rank, ms in own.items() if rank != slowest]
    ratio = own[slowest] / (sum(others) / len(others)) if sum(others) else None
    return RankTimes({str(rank): ms for rank, ms in own.items()}, slowest, ratio)
