"""What stages cost: times by phase, shares of the iteration with confidence intervals, memory, throughput, ranks."""

from __future__ import annotations

import msgspec
import numpy as np

from vrtspike.analysis.logs import NO_STAGES, RunLog
from vrtspike.analysis.statistics.resampling import Blocks, interval
from vrtspike.analysis.statistics.table import Statistics, Table
from vrtspike.records.stage_costs import PHASE_KEYS, PHASES

LEVELS = ((0.15, 'severe'), (0.08, 'notable'), (0.05, 'minor'))
"""Smallest share of the iteration for each level of a bottleneck."""


class MeasuredCost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times and memory of a stage or part. A phase is None if it never took any time or was not measured."""

    forward_ms: Statistics | None
    recompute_ms: Statistics | None
    backward_ms: Statistics | None
    total_ms: Statistics | None
    share: float | None
    """Fraction of the iteration over all phases; None if iterations take no time."""
    memory_mib: float | None
    """Peak while the stage ran."""
    allocated_mib: float | None
    """Mean of what its forward pass left allocated."""
    avg_since_start_ms: float | None = None
    """The mean since the start of the run, which only a legacy timing file gives."""


class Bottleneck(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ranking of stages."""

    stage: str
    share: float
    """Fraction of the iteration."""
    share_interval: list[float] | None
    """95 % confidence interval; None if there are too few samples."""
    ahead_of_next: float | None
    """Fraction of the resamples in which the stage costs more than the next one in the ranking."""
    level: str | None
    """'severe', 'notable' or 'minor'; None if the share is too small to matter."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """Rates over all ranks together; None if the log does not tell."""

    iterations_per_s: float | None = None
    clips_per_s: float | None = None
    clips_per_s_interval: list[float] | None = None
    frames_per_s: float | None = None


class PeakMemory(msgspec.Struct, frozen=True):
    """Peak memory of a process, and the stage with the highest peak."""

    peak_mib: float | None
    peak_stage: str | None


class RankTimes(msgspec.Struct, frozen=True):
    """Milliseconds per iteration that each rank needs for its own work."""

    own_ms: dict[str, float]
    slowest: int
    slowest_to_others: float | None
    """Ratio of the slowest rank's time to the mean of the others."""


def stage_costs(log: RunLog, costs: Table, group: str = 'stages') -> dict[str, MeasuredCost]:
    """Return the costs of all ``stages`` (or ``parts``) by name, in the order they run."""
    return {name: measured_cost(log, costs, f'{group}/{name}') for name in log.stages(group)}


def measured_cost(log: RunLog, costs: Table, prefix: str) -> MeasuredCost:
    """Return the costs of one stage or part.

    Args:
        log: The log.
        costs: Its table of costs.
        prefix: Start of the names of its columns, such as ``stages/flow``.
    """
    whole = costs.total('iteration_ms')
    return MeasuredCost(
        **{key: phase_statistics(costs, f'{prefix}/{key}') for key in (*PHASE_KEYS, 'total_ms')},
        share=costs.total(f'{prefix}/total_ms') / whole if whole else None,
        memory_mib=costs.highest(f'{prefix}/peak_mib'),
        allocated_mib=costs.mean(f'{prefix}/allocated_mib'),
        avg_since_start_ms=log.averages.get(prefix.partition('/')[2]),
    )


def phase_statistics(costs: Table, column: str) -> Statistics | None:
    """Return the statistics of one phase, None if it never took any time."""
    return costs.statistics(column) if costs.total(column) > 0 else None


def phase_shares(log: RunLog, costs: Table) -> dict[str, float]:
    """Return the share of the iteration of every phase, summed over all stages; empty if not all were timed."""
    if log.cost_format in NO_STAGES:
        return {}
    whole = costs.total('iteration_ms')
    stages = log.stages()
    sums = {
        phase: sum(costs.total(f'stages/{name}/{key}') for name in stages)
        for phase, key in zip(PHASES, PHASE_KEYS, strict=True)
    }
    return {phase: ms / whole for phase, ms in sums.items()} if whole else {}


def bottlenecks(log: RunLog, costs: Table) -> list[Bottleneck]:
    """Return the stages by share of the iteration, largest first, with confidence intervals."""
    whole = costs.total('iteration_ms')
    names = [name for name in log.stages() if whole and costs.total(f'stages/{name}/total_ms') > 0]
    if not names:
        return []
    names.sort(key=lambda name: -costs.total(f'stages/{name}/total_ms'))
    columns = [costs.column(column) for column in ('iteration_ms', *(f'stages/{name}/total_ms' for name in names))]
    blocks = Blocks.of(np.column_stack(columns))
    sums = blocks.sums()
    resampled = sums[:, 1:] / sums[:, :1]
    ranking = []
    for i, name in enumerate(names):
        share = costs.total(f'stages/{name}/total_ms') / whole
        share_interval = ahead = None
        if blocks.enough:
            low, high = interval(share, resampled[:, i], blocks.number)
            share_interval = [max(low, 0.0), min(high, 1.0)]
            if i + 1 < len(names):
                ahead = float(np.mean(resampled[:, i] > resampled[:, i + 1]))
        ranking.append(
            Bottleneck(stage=name, share=share, share_interval=share_interval, ahead_of_next=ahead, level=level(share))
        )
    return ranking


def level(share: float) -> str | None:
    """Return the level of a bottleneck, None if its share is too small to matter."""
    return next((name for least, name in LEVELS if share >= least), None)


def throughput(log: RunLog, costs: Table) -> Throughput:
    """Return iterations, clips and frames per second over all ranks together.

    Only our own records say how many clips an iteration had. The training log of the older code has
    ``samples_per_s``, which is taken as clips.
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


def _clips_interval(costs: Table, estimate: float, ranks: int) -> list[float] | None:
    blocks = Blocks.of(np.column_stack([costs.column('clips'), costs.column('iteration_ms')]))
    sums = blocks.sums()
    return interval(estimate, ranks * sums[:, 0] / sums[:, 1] * 1e3, blocks.number) if blocks.enough else None


def memory(log: RunLog, costs: Table) -> PeakMemory:
    """Return the peak memory of a process, and the stage with the highest peak."""
    peak = costs.highest('memory_mib')
    if peak is None and 'memory_mib' in log.series:
        peak = (log.series['memory_mib'].highest or (None, None))[1]
    peaks = {name: costs.highest(f'stages/{name}/peak_mib') for name in log.stages()}
    peaks = {name: mib for name, mib in peaks.items() if mib is not None}
    return PeakMemory(peak, max(peaks, key=peaks.get) if peaks else None)


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
