"""Two runs side by side: ratios with confidence intervals, and which differences are noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vrtspike.analysis.logs import FORWARD_ONLY, RunLog
from vrtspike.analysis.statistics.costs import memory, throughput
from vrtspike.analysis.statistics.curves import quality
from vrtspike.analysis.statistics.resampling import Blocks, simultaneous_quantile, spread, student_quantile
from vrtspike.errors import LogError

WITHIN_RUNS = (
    'Intervals cover how iterations vary within each run. What changed between the runs (temperature, other jobs, '
    'another machine) is not in them: where a small difference matters, alternate several runs of each.'
)


def compare(first: RunLog, second: RunLog) -> dict[str, Any]:
    """Return how the second run differs from the first; ``docs/analysis.md`` describes the keys.

    Raises:
        LogError: One of them has no costs, or times of another kind than the other.
    """
    check_comparable(first, second)
    per_clip = says_clips(first) and says_clips(second)
    stages = [name for name in first.stages() if name in second.stages()]
    return {
        'runs': [first.name, second.name],
        'source_formats': [first.cost_format, second.cost_format],
        'unit': 'ms per clip' if per_clip else 'ms per iteration',
        'iteration_ms': ratios(first, second, ['iteration_ms'], per_clip=False)['iteration_ms'],
        'total_ms': ratios(first, second, ['iteration_ms'], per_clip)['iteration_ms'],
        'stages': {
            name.split('/')[1]: entry
            for name, entry in ratios(first, second, [f'stages/{name}/total_ms' for name in stages], per_clip).items()
        },
        'only_in_one': sorted(set(first.stages()) ^ set(second.stages())),
        'throughput': [throughput(log, log.costs()) for log in (first, second)],
        'memory_mib': plain_ratio(*(memory(log, log.costs())['peak_mib'] for log in (first, second))),
        'gmacs': gmacs(first, second),
        'validation': differences(quality(first), quality(second)),
        'warnings': comparison_warnings(first, second),
    }


def check_comparable(first: RunLog, second: RunLog) -> None:
    """Refuse logs whose times are not of the same kind."""
    for log in (first, second):
        if log.cost_format is None:
            raise LogError(f'{log.name} ({", ".join(log.formats)}) holds no times of iterations to compare')
    formats = {log.cost_format for log in (first, second)}
    if formats & set(FORWARD_ONLY) and len(formats) > 1:
        raise LogError(
            f'{first.name} is {first.cost_format} and {second.name} is {second.cost_format}: unsynchronised times of a '
            'forward pass and times of iterations cannot be compared. Record both runs with this toolkit'
        )


@dataclass(frozen=True)
class Resampled:
    """A statistic of several columns: from all samples and from every resample.

    Args:
        values: (columns,).
        resampled: (RESAMPLES, columns).
        blocks: How many blocks were resampled.
    """

    values: np.ndarray
    resampled: np.ndarray
    blocks: int


def ratios(first: RunLog, second: RunLog, columns: list[str], per_clip: bool) -> dict[str, dict[str, Any]]:
    """Return ``first``, ``second``, ``ratio``, ``interval``, ``verdict`` and ``statistic`` by column.

    Medians are compared, means where a median is 0 (an optimizer that steps every sixth iteration). The intervals of
    several columns hold together, 95 % of the time, so that of many stages that did not change none is called changed.
    """
    if not columns:
        return {}
    rows = [_rows(log, columns, per_clip) for log in (first, second)]
    use_mean = np.any([np.median(each, axis=0) == 0 for each in rows], axis=0)
    a, b = (_resampled(each, use_mean, seed) for seed, each in enumerate(rows))
    with np.errstate(divide='ignore', invalid='ignore'):
        estimates = np.log(b.values / a.values)
        deviations = np.log(b.resampled / a.resampled)
    known = np.isfinite(estimates) & np.isfinite(deviations).all(axis=0)
    number = min(a.blocks, b.blocks)
    halves = np.full(len(columns), math.nan)
    if number > 3 and known.any():
        errors = spread(deviations[:, known], number)
        several = len(columns) > 1
        quantile = simultaneous_quantile(deviations[:, known], number - 1) if several else student_quantile(number - 1)
        halves[known] = quantile * errors
    return {
        column: _entry(a.values[i], b.values[i], estimates[i], halves[i], 'mean' if use_mean[i] else 'median')
        for i, column in enumerate(columns)
    }


def _rows(log: RunLog, columns: list[str], per_clip: bool) -> np.ndarray:
    """Return the samples (n, columns) that the trace kept, divided by their clips where asked for."""
    costs = log.costs()
    rows = np.column_stack([costs.column(column) for column in columns])
    if per_clip:
        rows = rows / costs.column('clips')[:, None]
    return rows[np.isfinite(rows).all(axis=1)]


def _resampled(rows: np.ndarray, use_mean: np.ndarray, seed: int) -> Resampled:
    blocks = Blocks.of(rows, seed)
    values = np.where(use_mean, rows.mean(axis=0), np.median(rows, axis=0))
    return Resampled(values, np.where(use_mean, blocks.means(), blocks.medians()), blocks.number)


def _entry(first: float, second: float, estimate: float, half: float, statistic: str) -> dict[str, Any]:
    entry = {'first': float(first), 'second': float(second), 'ratio': None, 'interval': None, 'verdict': 'unknown'}
    if math.isfinite(estimate):
        entry['ratio'] = math.exp(estimate)
        if math.isfinite(half):
            low, high = math.exp(estimate - half), math.exp(estimate + half)
            entry['interval'] = [low, high]
            entry['verdict'] = 'faster' if high < 1 else 'slower' if low > 1 else 'noise'
    return entry | {'statistic': statistic}


def says_clips(log: RunLog) -> bool:
    """Whether a log says how many clips an iteration had."""
    return log.costs().number('clips') > 0


def plain_ratio(first: float | None, second: float | None) -> dict[str, float | None]:
    """Return two numbers and their ratio."""
    ratio = second / first if first and second is not None else None
    return {'first': first, 'second': second, 'ratio': ratio}


def gmacs(first: RunLog, second: RunLog) -> dict[str, Any]:
    """Return the GMAC of a clip's forward pass of both; no ratio while operators are missing in either."""
    sums = [_gmacs(log) for log in (first, second)]
    missing = sorted({name for log in (first, second) for name in log.describe('uncounted_ops') or {}})
    entry = {'first': sums[0], 'second': sums[1], 'ratio': None} if missing else plain_ratio(*sums)
    return entry | {'uncounted_ops': missing}


def _gmacs(log: RunLog) -> float | None:
    counted = log.describe('costs')
    return sum(each.get('gmacs', 0.0) for each in counted.values()) if counted else None


def differences(first: dict, second: dict) -> dict[str, dict[str, float]]:
    """Return the last values of the validation's scalars that both runs have, and their difference."""
    return {
        name: {
            'first': first[name]['last'],
            'second': second[name]['last'],
            'difference': second[name]['last'] - first[name]['last'],
        }
        for name in first
        if name in second
    }


def comparison_warnings(first: RunLog, second: RunLog) -> list[str]:
    """Return what makes a comparison less than fair."""
    found = [WITHIN_RUNS]
    for key in ('device', 'precision', 'clip_shape', 'world_size'):
        values = [log.describe(key) for log in (first, second)]
        if None not in values and values[0] != values[1]:
            found.append(f'The runs differ in {key}: {values[0]} and {values[1]}.')
    formats = [log.cost_format for log in (first, second)]
    if formats[0] in FORWARD_ONLY:
        found.append('Both logs hold unsynchronised times of the forward pass: a verdict is about these, not the work.')
    elif formats[0] != formats[1]:
        found.append(f'{formats[0]} and {formats[1]}: one of them holds means over windows of iterations.')
    missing = gmacs(first, second)['uncounted_ops']
    if missing:
        found.append(f'GMAC are not compared: no rule counts {", ".join(missing)}.')
    return found
