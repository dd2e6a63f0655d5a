"""How steady a run was: its warm-up, drift, outliers and losses that are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.resampling import Blocks, autocorrelation, interval
from vrtspike.analysis.statistics.table import Table

WARMUP_FACTOR = 1.2
"""First samples slower than this times the median of the second half are warm-up."""

FENCE = 3.0
"""Tukey's outer fence: outliers lie further above the upper quartile than this many interquartile ranges."""

LEAST_OUTLIER = 1.1
"""And are at least this times the median: where nothing varies, a millisecond is no outlier."""

FEWEST_SAMPLES = 16
"""Below these neither drift nor outliers are looked for."""


def stability(log: RunLog, costs: Table) -> dict[str, Any]:
    """Return the report's ``stability``; see docs/analysis.md for its keys."""
    found = {'warmup_samples': None, 'drift': None, 'outliers': None, 'autocorrelation': None}
    if 'iteration_ms' in costs:
        ms = costs.column('iteration_ms')
        warmup = warmup_samples(ms)
        found['warmup_samples'] = warmup * costs.trace.stride
        if len(ms) - warmup >= FEWEST_SAMPLES and ms.min() > 0:
            found['drift'] = drift(ms[warmup:])
            found['outliers'] = outliers(costs, warmup)
            found['autocorrelation'] = autocorrelation(ms[warmup:])
    return found | not_finite(log)


def warmup_samples(ms: np.ndarray) -> int:
    """Return how many of the first samples are slower than what follows."""
    if len(ms) < 4:
        return 0
    slow = ms > WARMUP_FACTOR * np.median(ms[len(ms) // 2 :])
    return int(np.argmin(slow)) if not slow.all() else 0


def drift(ms: np.ndarray) -> dict[str, Any]:
    """Return the ratio of the second half's median to the first half's, with its interval."""
    halves = np.array_split(ms, 2)
    first, second = (Blocks.of(half, seed) for seed, half in enumerate(halves))
    ratio = float(np.median(halves[1]) / np.median(halves[0]))
    logs = np.log(second.medians()[:, 0]) - np.log(first.medians()[:, 0])
    ends = [float(np.exp(end)) for end in interval(np.log(ratio), logs, min(first.number, second.number))]
    return {'ratio': ratio, 'interval': ends, 'noise': ends[0] <= 1 <= ends[1]}


def outliers(costs: Table, warmup: int) -> dict[str, Any]:
    """Return how many samples after the warm-up are far slower than the rest, and the slowest with their iterations.

    Args:
        costs: With ``iteration_ms``.
        warmup: First rows of the trace to leave out; a long log, where they are few among many, leaves out none.
    """
    p25, median, p75 = costs.quantiles('iteration_ms', (0.25, 0.5, 0.75))
    fence = max(p75 + FENCE * (p75 - p25), LEAST_OUTLIER * median)
    first = warmup if costs.trace.exact else 0
    number = costs.count_above('iteration_ms', fence) - int((costs.column('iteration_ms')[:first] > fence).sum())
    early = set(costs.column('iteration')[:first]) if 'iteration' in costs else set()
    worst = [(iteration, ms) for ms, iteration in costs.worst if ms > fence and iteration not in early]
    return {
        'above_ms': fence, 'count': number, 'fraction': number / (costs.number('iteration_ms') - first),
        'worst': [{'iteration': iteration, 'iteration_ms': ms} for iteration, ms in worst],
    }  # fmt: skip


def not_finite(log: RunLog) -> dict[str, Any]:
    """Return how many losses were no numbers, and the iteration of the first."""
    numbers, firsts = [0], []
    for table in log.ranks().values():
        numbers.append(table.number('loss_not_finite_at'))
        firsts.append(table.lowest('loss_not_finite_at'))
    if loss := log.series.get('loss'):
        numbers.append(loss.not_finite)
        firsts.append(loss.first_not_finite)
    firsts = [int(first) for first in firsts if first is not None]
    return {'losses_not_finite': max(numbers), 'first_not_finite_iteration': min(firsts, default=None)}
