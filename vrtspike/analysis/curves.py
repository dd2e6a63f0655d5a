"""Curves of a run: whatever is a number per iteration, by the name it has on the command line and in the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from vrtspike.analysis.logs import RunLog
from vrtspike.analysis.resampling import Blocks, interval
from vrtspike.errors import LogError, did_you_mean

QUALITY = ('psnr', 'ssim', 'blur/psnr', 'blur/ssim', 'tfp/psnr', 'psnr_y', 'ssim_y', 'lpips')
"""Scalars of the validation."""

IN_REPORT = ('loss', 'lr', 'iteration_ms', 'data_ms', 'memory_mib', *QUALITY)
REPORT_POINTS = 400

Points = tuple[np.ndarray, np.ndarray]


def curve(log: RunLog, name: str) -> Points:
    """Return (iterations, values) of the curve ``name``, thinned where the log is long.

    Args:
        log: What was read.
        name: A scalar, as in 'loss' or 'psnr'; a column of the costs, as in 'iteration_ms'; or a stage, whose total is
            meant.

    Raises:
        LogError: The log has no such curve.
    """
    if name in log.series:
        return log.series[name].points()
    if log.cost_format and name in cost_columns(log):
        return _of_costs(log, cost_columns(log)[name])
    raise LogError(f"{log.name} has no curve '{name}'{did_you_mean(name, names(log))}")


def names(log: RunLog) -> list[str]:
    """Return the names of all curves."""
    return [*log.series, *(name for name in cost_columns(log) if name not in log.series)]


def cost_columns(log: RunLog) -> dict[str, str]:
    """Return the columns of the costs that are curves, by name."""
    if not log.cost_format:
        return {}
    plain = ('iteration_ms', 'loss', 'memory_mib')
    tables = log.ranks().values()
    found = {name: name for name in plain if any(table.number(name) for table in tables)}
    found |= {name: f'stages/{name}/total_ms' for name in log.stages()}
    return found | ({'data_ms': 'stages/data/total_ms'} if 'data' in found else {})


def _of_costs(log: RunLog, column: str) -> Points:
    """Return a column over the iterations, or over the passes where a format does not number them."""
    costs = log.costs()
    values = costs.column(column)
    numbered = costs.number('iteration') > 0
    iterations = costs.column('iteration') if numbered else np.arange(1, len(values) + 1) * costs.trace.stride
    finite = np.isfinite(values) & np.isfinite(iterations)
    return iterations[finite], values[finite]


def report_curves(log: RunLog) -> dict[str, dict[str, list[float]]]:
    """Return the curves that the report shows, each of at most REPORT_POINTS points."""
    known = set(names(log))
    found = {}
    for name in IN_REPORT:
        if name in known:
            iterations, values = thinned(curve(log, name))
            if len(values):
                found[name] = {'iterations': iterations.tolist(), 'values': values.tolist()}
    return found


def thinned(points: Points, limit: int = REPORT_POINTS) -> Points:
    """Return at most ``limit`` points, evenly chosen, the last among them."""
    steps, values = points
    if len(steps) <= limit:
        return points
    chosen = np.linspace(0, len(steps) - 1, limit).round().astype(int)
    return steps[chosen], values[chosen]


def convergence(log: RunLog) -> dict[str, Any] | None:
    """Return the mean loss of the first and the last quarter and their ratio with its interval.

    None without a curve of at least 16 points; ``interval`` and ``falling`` compare the quarters block-wise.
    """
    if 'loss' not in names(log):
        return None
    _, losses = curve(log, 'loss')
    if len(losses) < 16:
        return None
    first, last = losses[: len(losses) // 4], losses[-(len(losses) // 4) :]
    before, after = Blocks.of(first, seed=0), Blocks.of(last, seed=1)
    difference = after.means()[:, 0] - before.means()[:, 0]
    estimate = float(last.mean() - first.mean())
    number = min(before.number, after.number)
    ends = interval(estimate, difference, number) if number > 1 else None
    return {
        'first_quarter': float(first.mean()), 'last_quarter': float(last.mean()), 'difference': estimate,
        'difference_interval': ends, 'falling': ends is not None and ends[1] < 0,
    }  # fmt: skip


def quality(log: RunLog) -> dict[str, dict[str, float]]:
    """Return the last and the best value of every scalar of the validation, with their iterations."""
    found = {}
    for name in QUALITY:
        series = log.series.get(name)
        if series is not None and series.last:
            step, best = series.lowest if name == 'lpips' else series.highest
            found[name] = {
                'last': series.last[1], 'last_iteration': series.last[0], 'best': best, 'best_iteration': step
            }  # fmt: skip
    return found
