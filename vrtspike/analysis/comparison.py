"""Two runs side by side: ratios with confidence intervals, and which differences are noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np

from vrtspike.analysis.logs import FORWARD_ONLY, RunLog
from vrtspike.analysis.statistics.curves import Quality, quality
from vrtspike.analysis.statistics.peak_memory import peak_memory
from vrtspike.analysis.statistics.resampling import Blocks, simultaneous_quantile, spread, student_quantile
from vrtspike.analysis.statistics.throughput import Throughput, throughput
from vrtspike.errors import LogError

WITHIN_RUNS = (
    'Intervals cover how iterations vary within each run. What changed between the runs (temperature, other jobs, '
    'another machine) is not in them: where a small difference matters, alternate several runs of each.'
)


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A statistic of two runs, and the ratio of the second to the first with a 95 % confidence interval."""

    first: float
    second: float
    ratio: float | None = None
    interval: list[float] | None = None
    verdict: str = 'unknown'
    """'faster', 'slower', 'noise' or 'unknown'."""
    statistic: str
    """'median' or 'mean'."""


class PlainRatio(msgspec.Struct, frozen=True):
    """Two numbers and their ratio, None if either is not known or the first is 0."""

    first: float | None
    second: float | None
    ratio: float | None


class GmacRatio(PlainRatio, frozen=True):
    """GMAC of both runs. There is no ratio if operators without a count make either a lower bound."""

    uncounted_ops: list[str]


class Difference(msgspec.Struct, frozen=True):
    """The last values of a scalar, and the second minus the first."""

    first: float
    second: float
    difference: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How a second run differs from a first. The fields are the keys of its JSON."""

    runs: list[str]
    source_formats: list[str]
    unit: str
    """'ms per clip' or 'ms per iteration', of ``total_ms`` and ``stages``."""
    iteration_ms: Ratio
    total_ms: Ratio
    stages: dict[str, Ratio]
    only_in_one: list[str]
    """Stages of one run only."""
    throughput: list[Throughput]
    memory_mib: PlainRatio
    gmacs: GmacRatio
    validation: dict[str, Difference]
    warnings: list[str]


def compare(first: RunLog, second: RunLog) -> Comparison:
    """Return how the second run differs from the first; ``docs/analysis.md`` describes the keys.

    Raises:
        LogError: One log has no costs, or its times are not of the same kind as the other's.
    """
    check_comparable(first, second)
    per_clip = has_clips(first) and has_clips(second)
    stages = [name for name in first.stages() if name in second.stages()]
    columns = {name: f'stages/{name}/total_ms' for name in stages}
    stage_ratios = ratios(first, second, list(columns.values()), per_clip)
    return Comparison(
        runs=[first.name, second.name],
        source_formats=[first.cost_format, second.cost_format],
        unit='ms per clip' if per_clip else 'ms per iteration',
        iteration_ms=ratios(first, second, ['iteration_ms'], per_clip=False)['iteration_ms'],
        total_ms=ratios(first, second, ['iteration_ms'], per_clip)['iteration_ms'],
        stages={name: stage_ratios[column] for name, column in columns.items()},
        only_in_one=sorted(set(first.stages()) ^ set(second.stages())),
        throughput=[throughput(log, log.costs()) for log in (first, second)],
        memory_mib=plain_ratio(*(peak_memory(log, log.costs()).peak_mib for log in (first, second))),
        gmacs=gmac_ratio(first, second),
        validation=differences(quality(first), quality(second)),
        warnings=comparison_warnings(first, second),
    )


def check_comparable(first: RunLog, second: RunLog) -> None:
    """Raise :class:`LogError` if the times of two logs are not of the same kind."""
    for log in (first, second):
        if log.cost_format is None:
            raise LogError(f'{log.name} ({", ".join(log.formats)}) has no times of iterations to compare')
    formats = {log.cost_format for log in (first, second)}
    if formats & set(FORWARD_ONLY) and len(formats) > 1:
        raise LogError(
            f'{first.name} is {first.cost_format} and {second.name} is {second.cost_format}: unsynchronised times of a '
            'forward pass and times of iterations cannot be compared. Record both runs with this toolkit'
        )


@dataclass(frozen=True)
class Resampled:
    """A statistic of several columns, of all samples and of every resample.

    Args:
        values: (columns,).
        resampled: (RESAMPLES, columns).
        blocks: Number of blocks that were resampled.
    """

    values: np.ndarray
    resampled: np.ndarray
    blocks: int


def ratios(first: RunLog, second: RunLog, columns: list[str], per_clip: bool) -> dict[str, Ratio]:
    """Return the ratios by column.

    Medians are compared. If a median is 0 (an optimizer that steps every sixth iteration), means are. The intervals of
    several columns hold jointly with 95 % confidence, so no unchanged stage is reported as changed.
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
        column: _ratio(a.values[i], b.values[i], estimates[i], halves[i], 'mean' if use_mean[i] else 'median')
        for i, column in enumerate(columns)
    }


def _rows(log: RunLog, columns: list[str], per_clip: bool) -> np.ndarray:
    """Return the samples (n, columns) that the trace kept, divided by their clips if ``per_clip``."""
    costs = log.costs()
    rows = np.column_stack([costs.column(column) for column in columns])
    if per_clip:
        rows = rows / costs.column('clips')[:, None]
    return rows[np.isfinite(rows).all(axis=1)]


def _resampled(rows: np.ndarray, use_mean: np.ndarray, seed: int) -> Resampled:
    blocks = Blocks.of(rows, seed)
    values = np.where(use_mean, rows.mean(axis=0), np.median(rows, axis=0))
    return Resampled(values, np.where(use_mean, blocks.means(), blocks.medians()), blocks.number)


def _ratio(first: float, second: float, log_ratio: float, half: float, statistic: str) -> Ratio:
    """Return the ratio whose logarithm has an interval of ``half`` to either side."""
    values = {'first': float(first), 'second': float(second), 'statistic': statistic}
    if not math.isfinite(log_ratio):
        return Ratio(**values)
    if not math.isfinite(half):
        return Ratio(**values, ratio=math.exp(log_ratio))
    low, high = math.exp(log_ratio - half), math.exp(log_ratio + half)
    verdict = 'faster' if high < 1 else 'slower' if low > 1 else 'noise'
    return Ratio(**values, ratio=math.exp(log_ratio), interval=[low, high], verdict=verdict)


def has_clips(log: RunLog) -> bool:
    """Whether a log says how many clips an iteration had."""
    return log.costs().number('clips') > 0


def plain_ratio(first: float | None, second: float | None) -> PlainRatio:
    """Return two numbers and their ratio."""
    return PlainRatio(first, second, second / first if first and second is not None else None)


def gmac_ratio(first: RunLog, second: RunLog) -> GmacRatio:
    """Return the GMAC of one clip's forward pass of both runs."""
    found = plain_ratio(*(_gmacs(log) for log in (first, second)))
    uncounted = sorted({name for log in (first, second) for name in log.describe('uncounted_ops') or {}})
    return GmacRatio(found.first, found.second, None if uncounted else found.ratio, uncounted)


def _gmacs(log: RunLog) -> float | None:
    counted = log.describe('costs')
    return sum(cost.gmacs for cost in counted.values()) if counted else None


def differences(first: dict[str, Quality], second: dict[str, Quality]) -> dict[str, Difference]:
    """Return the differences of the last values of all scalars that both runs have."""
    return {
        name: Difference(first[name].last, second[name].last, second[name].last - first[name].last)
        for name in first
        if name in second
    }


def comparison_warnings(first: RunLog, second: RunLog) -> list[str]:
    """Return what limits the comparison."""
    found = [WITHIN_RUNS]
    for key in ('device', 'precision', 'clip_shape', 'world_size'):
        values = [log.describe(key) for log in (first, second)]
        if None not in values and values[0] != values[1]:
            found.append(f'The runs differ in {key}: {values[0]} and {values[1]}.')
    formats = [log.cost_format for log in (first, second)]
    if formats[0] in FORWARD_ONLY:
        found.append(
            'Both logs have unsynchronised times of the forward pass: a verdict is about these, not about the work.'
        )
    elif formats[0] != formats[1]:
        found.append(f'{formats[0]} and {formats[1]}: one of them has means over windows of iterations.')
    uncounted = gmac_ratio(first, second).uncounted_ops
    if uncounted:
        found.append(f'GMAC are not compared: no rule counts {", ".join(uncounted)}.')
    return found
