"""How steady a run was: warm-up, drift, outliers and losses that are not finite."""

from __future__ import annotations

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.resampling import Blocks, autocorrelation, interval
from vrtspike.analysis.statistics.samples import SampleTable

WARMUP_FACTOR = 1.2
"""The first samples are warm-up if they are slower than this times the median of the second half."""

FENCE = 3.0
"""Tukey's outer fence: outliers are more than this many interquartile ranges above the upper quartile."""

LEAST_OUTLIER = 1.1
"""Outliers are also at least this times the median: if nothing varies, one more millisecond is no outlier."""

FEWEST_SAMPLES = 16
"""Fewer samples give neither drift nor outliers."""


class Drift(msgspec.Struct, frozen=True):
    """Ratio of the second half's median time to the first half's, with a 95 % confidence interval."""

    ratio: float
    interval: list[float]
    noise: bool
    """Whether the interval contains 1."""


class SlowIteration(msgspec.Struct, frozen=True):
    """An iteration and its time."""

    iteration: int
    iteration_ms: float


class Outliers(msgspec.Struct, frozen=True, kw_only=True):
    """Samples after the warm-up that are much slower than the rest."""

    above_ms: float
    """The limit."""
    count: int
    fraction: float
    """Of the samples after the warm-up."""
    worst: list[SlowIteration]


class Stability(msgspec.Struct, frozen=True, kw_only=True):
    """How steady a run was; None where the log is too short."""

    warmup_samples: int | None = None
    drift: Drift | None = None
    outliers: Outliers | None = None
    autocorrelation: float | None = None
    """Correlation of the times of consecutive samples."""
    losses_not_finite: int
    first_not_finite_iteration: int | None


class NonFiniteLosses(msgspec.Struct, frozen=True):
    """How many losses were not finite, and the iteration of the first."""

    number: int
    first_iteration: int | None


def stability(log: RunLog, costs: SampleTable) -> Stability:
    """Return the report's ``stability``; ``docs/analysis.md`` describes its keys."""
    found = {}
    if 'iteration_ms' in costs:
        ms = costs.column('iteration_ms')
        warmup = warmup_samples(ms)
        found['warmup_samples'] = warmup * costs.trace.stride
        if len(ms) - warmup >= FEWEST_SAMPLES and ms.min() > 0:
            found['drift'] = drift(ms[warmup:])
            found['outliers'] = outliers(costs, warmup)
            found['autocorrelation'] = autocorrelation(ms[warmup:])
    losses = non_finite_losses(log)
    return Stability(**found, losses_not_finite=losses.number, first_not_finite_iteration=losses.first_iteration)


def warmup_samples(ms: np.ndarray) -> int:
    """Return how many of the first samples are slower than the samples after them."""
    if len(ms) < 4:
        return 0
    slow = ms > WARMUP_FACTOR * np.median(ms[len(ms) // 2 :])
    return int(np.argmin(slow)) if not slow.all() else 0


def drift(ms: np.ndarray) -> Drift:
    """Compare the times of the second half with those of the first."""
    halves = np.array_split(ms, 2)
    first, second = (Blocks.of(half, seed) for seed, half in enumerate(halves))
    ratio = float(np.median(halves[1]) / np.median(halves[0]))
    logs = np.log(second.medians()[:, 0]) - np.log(first.medians()[:, 0])
    ends = [float(np.exp(end)) for end in interval(np.log(ratio), logs, min(first.number, second.number))]
    return Drift(ratio, ends, ends[0] <= 1 <= ends[1])


def outliers(costs: SampleTable, warmup: int) -> Outliers:
    """Return the samples after the warm-up that are much slower than the rest.

    Args:
        costs: With ``iteration_ms``.
        warmup: First rows of the trace to leave out. A long log, where they hardly count, leaves none out.
    """
    p25, median, p75 = costs.quantiles('iteration_ms', (0.25, 0.5, 0.75))
    fence = max(p75 + FENCE * (p75 - p25), LEAST_OUTLIER * median)
    first = warmup if costs.trace.exact else 0
    number = costs.count_above('iteration_ms', fence) - int((costs.column('iteration_ms')[:first] > fence).sum())
    early = set(costs.column('iteration')[:first]) if 'iteration' in costs else set()
    worst = [SlowIteration(iteration, ms) for ms, iteration in costs.worst if ms > fence and iteration not in early]
    fraction = number / (costs.number('iteration_ms') - first)
    return Outliers(above_ms=fence, count=number, fraction=fraction, worst=worst)


def non_finite_losses(log: RunLog) -> NonFiniteLosses:
    """Return how many losses were not finite, and the iteration of the first."""
    numbers, firsts = [0], []
    for table in log.ranks().values():
        numbers.append(table.number('loss_not_finite_at'))
        firsts.append(table.lowest('loss_not_finite_at'))
    if loss := log.series.get('loss'):
        numbers.append(loss.summary.not_finite)
        firsts.append(loss.summary.first_not_finite)
    return NonFiniteLosses(max(numbers), min((int(first) for first in firsts if first is not None), default=None))
