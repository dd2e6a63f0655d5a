"""What stages cost: times by phase, shares of the iteration with their uncertainty, memory, throughput, ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from vrtspike.analysis.logs import NO_STAGES, RunLog
from vrtspike.analysis.statistics.resampling import Blocks, interval
from vrtspike.analysis.statistics.table import Table

PHASES = ('forward', 'recompute', 'backward')
LEVELS = ((0.15, 'severe'), (0.08, 'notable'), (0.05, 'minor'))
"""From which share of the iteration on a stage is called what."""


def stage_costs(log: RunLog, costs: Table, group: str = 'stages') -> dict[str, dict[str, Any]]:
    """Return the report's ``stages`` (or ``parts``) by name, in the order they run."""
    return {name: one_stage(log, costs, f'{group}/{name}') for name in log.stages(group)}


def one_stage(log: RunLog, costs: Table, prefix: str) -> dict[str, Any]:
    """Return the costs of one stage or part.

    A phase that never took any time is None: the stage does not have it, or it was not measured.
    """
    whole = costs.total('iteration_ms')
    cost = {f'{phase}_ms': phase_statistics(costs, f'{prefix}/{phase}_ms') for phase in (*PHASES, 'total')}
    cost['share'] = costs.total(f'{prefix}/total_ms') / whole if whole else None
    cost['memory_mib'] = costs.highest(f'{prefix}/peak_mib')
    cost['allocated_mib'] = costs.mean(f'{prefix}/allocated_mib')
    average = log.averages.get(prefix.partition('/')[2])
    return cost | ({} if average is None else {'avg_since_start_ms': average})


def phase_statistics(costs: Table, column: str) -> dict[str, float | int] | None:
    """Return the statistics of one phase, None where it never took any time."""
    return costs.statistics(column) if costs.total(column) > 0 else None


def phase_shares(log: RunLog, costs: Table) -> dict[str, float]:
    """Return the share of the iteration that every phase takes over all stages; empty where not all were timed."""
    if log.cost_format in NO_STAGES:
        return {}
    whole = costs.total('iteration_ms')
    stages = log.stages()
    sums = {phase: sum(costs.total(f'stages/{name}/{phase}_ms') for name in stages) for phase in PHASES}
    return {phase: ms / whole for phase, ms in sums.items()} if whole else {}


def bottlenecks(log: RunLog, costs: Table) -> list[dict[str, Any]]:
    """Return the stages by share of the iteration, greatest first, with intervals.

    ``ahead_of_next`` is the share of resamples in which a stage costs more than the one ranked below it.
    """
    whole = costs.total('iteration_ms')
    names = [name for name in log.stages() if whole and costs.total(f'stages/{name}/total_ms') > 0]
    if not names:
        return []
    names.sort(key=lambda name: -costs.total(f'stages/{name}/total_ms'))
    columns = [costs.column(column) for column in ('iteration_ms', *(f'stages/{name}/total_ms' for name in names))]
    blocks = Blocks.of(np.column_stack(columns))
    sums = blocks.sums()
    shares = sums[:, 1:] / sums[:, :1]
    ranking = []
    for i, name in enumerate(names):
        share = costs.total(f'stages/{name}/total_ms') / whole
        entry = {'stage': name, 'share': share, 'share_interval': None, 'ahead_of_next': None, 'level': level(share)}
        if blocks.enough:
            low, high = interval(share, shares[:, i], blocks.number)
            entry['share_interval'] = [max(low, 0.0), min(high, 1.0)]
            if i + 1 < len(names):
                entry['ahead_of_next'] = float(np.mean(shares[:, i] > shares[:, i + 1]))
        ranking.append(entry)
    return ranking


def level(share: float) -> str | None:
    """Return what a stage of that share is called, None where it is too small to matter."""
    return next((name for least, name in LEVELS if share >= least), None)


def throughput(log: RunLog, costs: Table) -> dict[str, Any]:
    """Return iterations, clips and frames per second, over all ranks together.

    Other formats than ours do not say how many clips an iteration had; the older code's training log has
    ``samples_per_s``, which counts as clips.
    """
    whole = costs.total('iteration_ms')
    found: dict[str, Any] = dict.fromkeys(('iterations_per_s', 'clips_per_s', 'clips_per_s_interval', 'frames_per_s'))
    if whole:
        found['iterations_per_s'] = costs.number('iteration_ms') / whole * 1e3
        ranks = list(log.ranks().values())
        for key in ('clips', 'frames'):
            if costs.number(key):
                found[f'{key}_per_s'] = sum(rank.total(key) / rank.total('iteration_ms') for rank in ranks) * 1e3
        found['clips_per_s_interval'] = _clips_interval(costs, found['clips_per_s'], len(ranks))
    if found['clips_per_s'] is None and 'samples_per_s' in log.series:
        found['clips_per_s'] = float(np.median(log.series['samples_per_s'].points()[1]))
    return found


def _clips_interval(costs: Table, estimate: float | None, ranks: int) -> list[float] | None:
    if estimate is None:
        return None
    blocks = Blocks.of(np.column_stack([costs.column('clips'), costs.column('iteration_ms')]))
    sums = blocks.sums()
    return interval(estimate, ranks * sums[:, 0] / sums[:, 1] * 1e3, blocks.number) if blocks.enough else None


def memory(log: RunLog, costs: Table) -> dict[str, Any]:
    """Return the peak memory of a process, and the stage during which most was allocated."""
    peak = costs.highest('memory_mib')
    if peak is None and 'memory_mib' in log.series:
        peak = (log.series['memory_mib'].highest or (None, None))[1]
    peaks = {name: costs.highest(f'stages/{name}/peak_mib') for name in log.stages()}
    peaks = {name: mib for name, mib in peaks.items() if mib is not None}
    return {'peak_mib': peak, 'peak_stage': max(peaks, key=peaks.get) if peaks else None}


def ranks(log: RunLog) -> dict[str, Any] | None:
    """Return what each rank needs, None where there is one only.

    All ranks take the same time for an iteration, since they wait for the slowest in communication. The slowest is the
    one that waits least: what it does itself, ``own_ms``, takes longest.
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
    return {
        'own_ms': {str(rank): ms for rank, ms in own.items()},
        'slowest': slowest,
        'slowest_to_others': own[slowest] / (sum(others) / len(others)) if sum(others) else None,
    }
