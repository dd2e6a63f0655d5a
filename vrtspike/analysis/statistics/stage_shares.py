"""What each stage costs: its times by phase, its memory and its share of the iteration; the ranking of bottlenecks."""

from __future__ import annotations

import msgspec
import numpy as np

from vrtspike.analysis.logs import NO_STAGES, RunLog
from vrtspike.analysis.statistics.resampling import Blocks, interval
from vrtspike.analysis.statistics.samples import SampleTable, Statistics
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
    host_bound_ms: float | None = None
    """Mean of the time in which a GPU may have waited for the host; samples in which it is not known count as 0. None
    if it is known in no sample, and for parts."""

    @property
    def host_bound_share(self) -> float | None:
        """Return the share of its time that is host-bound, None if it is not known."""
        if self.host_bound_ms is None or not self.total_ms or not self.total_ms.mean:
            return None
        return self.host_bound_ms / self.total_ms.mean


class Bottleneck(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ranking of stages."""

    stage: str
    share: float
    """Fraction of the iteration."""
    share_interval: list[float] | None = None
    """95 % confidence interval; None if there are too few samples."""
    ahead_of_next: float | None = None
    """Fraction of the resamples in which the stage costs more than the next one in the ranking."""
    level: str | None = None
    """'severe', 'notable' or 'minor'; None if the share is too small to matter."""


def stage_costs(log: RunLog, costs: SampleTable, group: str = 'stages') -> dict[str, MeasuredCost]:
    """Return the costs of all ``stages`` (or ``parts``) by name, in the order they run."""
    return {name: measured_cost(log, costs, f'{group}/{name}') for name in log.stages(group)}


def measured_cost(log: RunLog, costs: SampleTable, prefix: str) -> MeasuredCost:
    """Return the costs of one stage or part.

    Args:
        log: The log.
        costs: Its table of costs.
        prefix: Start of the names of its columns, such as ``stages/flow``.
    """
    whole, bound = costs.total('iteration_ms'), f'{prefix}/host_bound_ms'
    return MeasuredCost(
        **{key: phase_statistics(costs, f'{prefix}/{key}') for key in (*PHASE_KEYS, 'total_ms')},
        share=costs.total(f'{prefix}/total_ms') / whole if whole else None,
        memory_mib=costs.highest(f'{prefix}/peak_mib'),
        allocated_mib=costs.mean(f'{prefix}/allocated_mib'),
        avg_since_start_ms=log.averages.get(prefix.partition('/')[2]),
        host_bound_ms=costs.total(bound) / costs.rows if costs.number(bound) else None,
    )


def phase_statistics(costs: SampleTable, column: str) -> Statistics | None:
    """Return the statistics of one phase, None if it never took any time."""
    return costs.statistics(column) if costs.total(column) > 0 else None


def phase_shares(log: RunLog, costs: SampleTable) -> dict[str, float]:
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


def bottlenecks(log: RunLog, costs: SampleTable) -> list[Bottleneck]:
    """Return the stages by share of the iteration, largest first, with confidence intervals."""
    whole = costs.total('iteration_ms')
    names = [name for name in log.stages() if whole and costs.total(f'stages/{name}/total_ms') > 0]
    if not names:
        return []
    names.sort(key=lambda name: -costs.total(f'stages/{name}/total_ms'))
    columns = [costs.column(column) for column in ('iteration_ms', *(f'stages/{name}/total_ms' for name in names))]
    blocks = Blocks.of(np.column_stack(columns))
    resampled = blocks.ratios()
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
