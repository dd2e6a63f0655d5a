"""Curves of a run: one value per iteration, named as on the command line and in the report."""

from __future__ import annotations

import math
import re

import msgspec
import numpy as np

from vrtspike.analysis.logs import RunLog, Series
from vrtspike.errors import LogError, did_you_mean

QUALITY = ('psnr', 'ssim', 'blur/psnr', 'blur/ssim', 'tfp/psnr', 'sdm/psnr', 'psnr_y', 'ssim_y', 'lpips')
"""Names of the scalars of our validations."""

LOWER_IS_BETTER = ('lpips', 'niqe', 'mae', 'mse', 'rmse', 'loss')
IN_REPORT = ('loss', 'lr', 'iteration_ms', 'data_ms', 'memory_mib', *QUALITY)
MOST_IN_REPORT = 40
"""Most curves of a report, so that a log of hundreds of scalars gives a page that can be read."""

REPORT_POINTS = 400
FEWEST_LOSSES = 16
CERTAIN = 1.96

Points = tuple[np.ndarray, np.ndarray]
"""(iterations, values) of a curve."""


class Curve(msgspec.Struct, frozen=True):
    """A curve of the report."""

    iterations: list[float]
    values: list[float]


class Convergence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the loss fell."""

    start: float
    """Median of the first tenth."""
    end: float
    """Median of the last quarter."""
    lower: float
    """Fraction of pairs (a loss from the end, a loss from the start) in which the end's is lower."""
    trend: str
    """'falling' or 'rising' if a rank test (Mann-Whitney, 95 %) says so, otherwise 'flat'."""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """The last and the best value of a validation's scalar."""

    last: float
    last_iteration: int
    best: float
    best_iteration: int


def curve(log: RunLog, name: str) -> Points:
    """Return (iterations, values) of the curve ``name``, thinned if the log is long.

    Args:
        log: What was read.
        name: A scalar, as in 'loss' or 'psnr', or a cost, as in 'iteration_ms', 'memory_mib' or 'stage1_ms'.

    Raises:
        LogError: The log has no such curve.
    """
    series = scalars(log).get(name) or log.series.get(name)
    found = [series.points()] if series else []
    columns = cost_columns(log)
    if name in columns:
        found.append(_of_costs(log, columns[name]))
    if found:  # the loss is logged at intervals, and with every sample of costs
        return max(found, key=lambda points: len(points[0]))
    raise LogError(f"{log.name} has no curve '{name}'{did_you_mean(name, names(log))}")


def names(log: RunLog) -> list[str]:
    """Return the names of all curves."""
    return list(dict.fromkeys([*scalars(log), *cost_columns(log)]))


def scalars(log: RunLog) -> dict[str, Series]:
    """Return the scalars of a log by our names, as far as they have one.

    Other projects write ``REDS4/PSNR``, ``generator.lr`` or ``loss_pix``. Such a scalar gets our name if it is the only
    one that could have it: among several data sets, optimizers or losses, all keep their own.
    """
    series = log.series
    others: dict[str, list[str]] = {}
    for name in series:
        ours = _our_name(name, name in log.validated)
        if ours and ours not in series:
            others.setdefault(ours, []).append(name)
    ours_of = {names[0]: ours for ours, names in others.items() if len(names) == 1}
    return {ours_of.get(name, name): each for name, each in series.items()}


def _our_name(name: str, validated: bool) -> str | None:
    """Return what we would call a scalar of another project, None if it has no name here."""
    if validated:
        metric = name.rpartition('/')[2].lower()
        return metric if metric in QUALITY else None
    if is_rate(name):
        return 'lr'
    return 'loss' if re.search(r'(^|[._/])(loss|l_pix)', name) else None


def is_rate(name: str) -> bool:
    """Whether a scalar is a learning rate: 'lr', 'base_lr', 'generator.lr' or 'lr.generator'."""
    return re.search(r'(^|[._/])lr($|\.)', name) is not None


def cost_columns(log: RunLog) -> dict[str, str]:
    """Return the columns of costs that are curves, by the curve's name."""
    if not log.cost_format:
        return {}
    plain = ('iteration_ms', 'loss', 'memory_mib')
    tables = log.ranks().values()
    found = {name: name for name in plain if any(table.number(name) for table in tables)}
    # The suffix is needed: one of the stages is called 'loss'.
    return found | {f'{name}_ms': f'stages/{name}/total_ms' for name in log.stages()}


def _of_costs(log: RunLog, column: str) -> Points:
    """Return a column over the iterations, or over the forward passes if the format does not number iterations."""
    costs = log.costs()
    values = costs.column(column)
    numbered = costs.number('iteration') > 0
    iterations = costs.column('iteration') if numbered else np.arange(1, len(values) + 1) * costs.trace.stride
    latest = iterations <= np.fmin.accumulate(iterations[::-1])[::-1]  # not trained again by a resumed start
    shown = np.isfinite(values) & latest
    return iterations[shown], values[shown]


def report_curves(log: RunLog) -> dict[str, Curve]:
    """Return the curves of the report, each with at most REPORT_POINTS points."""
    known = scalars(log)
    shown = [name for name in known if name in quality(log) or _our_name(name, validated=False)]
    found = {}
    for name in list(dict.fromkeys([*(name for name in IN_REPORT if name in names(log)), *shown]))[:MOST_IN_REPORT]:
        iterations, values = thinned(curve(log, name))
        if len(values):
            found[name] = Curve(iterations.tolist(), values.tolist())
    return found


def thinned(points: Points, limit: int = REPORT_POINTS) -> Points:
    """Return at most ``limit`` evenly spaced points, including the last."""
    steps, values = points
    if len(steps) <= limit:
        return points
    chosen = np.linspace(0, len(steps) - 1, limit).round().astype(int)
    return steps[chosen], values[chosen]


def convergence(log: RunLog) -> Convergence | None:
    """Compare the losses at the end of a run with those at its start; None with fewer than 16 losses.

    Losses of random batches count as independent.
    """
    if 'loss' not in names(log):
        return None
    _, losses = curve(log, 'loss')
    if len(losses) < FEWEST_LOSSES:
        return None
    start, end = losses[: max(len(losses) // 10, 8)], losses[-(len(losses) // 4) :]
    lower = lower_share(end, start)
    # By chance alone, the share has this standard deviation around a half.
    deviation = math.sqrt((len(start) + len(end) + 1) / (12 * len(start) * len(end)))
    z = (lower - 0.5) / deviation
    trend = 'falling' if z > CERTAIN else 'rising' if z < -CERTAIN else 'flat'
    return Convergence(start=float(np.median(start)), end=float(np.median(end)), lower=lower, trend=trend)


def lower_share(values: np.ndarray, others: np.ndarray) -> float:
    """Return the share of pairs in which ``values`` has the lower one; ties count half."""
    others = np.sort(others)
    above = len(others) - np.searchsorted(others, values, side='right')
    ties = len(others) - np.searchsorted(others, values, side='left') - above
    return float((above + ties / 2).mean() / len(others))


def quality(log: RunLog) -> dict[str, Quality]:
    """Return the last and the best value of every scalar of the validation, ours first."""
    known = scalars(log)
    validated = {id(log.series[name]) for name in log.validated}
    others = [name for name, series in known.items() if id(series) in validated and name not in QUALITY]
    found = {}
    for name in (*(name for name in QUALITY if name in known), *others):
        summary = known[name].summary
        if summary.last:
            metric = name.rpartition('/')[2].lower()
            iteration, best = summary.lowest if metric in LOWER_IS_BETTER else summary.highest
            last_iteration, last = summary.last
            found[name] = Quality(last=last, last_iteration=last_iteration, best=best, best_iteration=iteration)
    return found
