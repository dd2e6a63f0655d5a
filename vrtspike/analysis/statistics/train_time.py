"""Times of iterations by segment. A segment is an epoch, or the iterations between two validations."""

from __future__ import annotations

import numpy as np

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.statistics.curves import QUALITY
from vrtspike.errors import LogError


def train_time_text(log: RunLog, include_outliers: bool = False) -> str:
    """Return slowest and fastest segment, the deviation between segments and the average, in seconds per iteration.

    Args:
        log: What was read.
        include_outliers: Whether to keep the first iteration of every segment, which is warm-up.

    Raises:
        LogError: The log has no times of iterations.
    """
    kind, segments = segments_of(log)
    if not include_outliers:
        segments = {name: times[1:] if len(times) > 1 else times for name, times in segments.items()}
    means = {name: float(times.mean()) for name, times in segments.items()}
    slowest, fastest = max(means, key=means.get), min(means, key=means.get)
    seconds = list(means.values())
    lines = (
        f'{"-" * 5}Analyze train time of {log.name}{"-" * 5}',
        f'slowest {kind} {slowest}, average time is {means[slowest]:.4f} s/iter',
        f'fastest {kind} {fastest}, average time is {means[fastest]:.4f} s/iter',
        f'time std over {kind}s is {np.std(seconds):.4f}',
        f'average iter time: {np.mean(seconds):.4f} s/iter',
    )
    return '\n'.join(lines)


def segments_of(log: RunLog) -> tuple[str, dict[str, np.ndarray]]:
    """Return the kind of segment, and the seconds of the iterations by segment, thinned if the log is long."""
    if log.cost_format is None:
        raise LogError(f'{log.name} has no times of iterations')
    costs = log.costs()
    seconds = costs.column('iteration_ms') / 1e3
    if costs.number('epoch'):
        epochs = costs.column('epoch')
        return 'epoch', {f'{int(epoch)}': seconds[epochs == epoch] for epoch in np.unique(epochs[~np.isnan(epochs)])}
    numbered = costs.number('iteration') > 0
    iterations = costs.column('iteration') if numbered else np.arange(1, len(seconds) + 1)
    ends = validations(log)
    place = np.searchsorted(ends, iterations)
    return 'interval', {
        f'{iterations[place == i].min():.0f}-{iterations[place == i].max():.0f}': seconds[place == i]
        for i in np.unique(place)
    }


def validations(log: RunLog) -> np.ndarray:
    """Return the iterations of the validations."""
    steps = [log.series[name].points()[0] for name in QUALITY if name in log.series]
    return np.unique(np.concatenate(steps)) if steps else np.empty(0)
