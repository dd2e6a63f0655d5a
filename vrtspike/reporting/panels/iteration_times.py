"""Time of the iterations over the training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.facts import what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.curves import Curve
from vrtspike.reporting.formatting import number
from vrtspike.reporting.palette import ALERT, GREY, lighter
from vrtspike.reporting.panels.course import FEWEST, draw_course
from vrtspike.reporting.panels.panel import Body, Panel, Run, area_key, line_key, over_iterations, plain_numbers
from vrtspike.reporting.point_labels import XY, PointLabels

#: Times above this many medians, if few, are marked at the upper edge, so that the others can be told apart.
CUT = 3.0
#: So many of these have their time written beside them.
NAMED = 3
#: The axis reaches at least this far from the median, so that small noise looks small.
LEAST_RANGE = 0.1


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw the time of each iteration, its course, the range from the 5th to the 95th percentile, and outliers."""
    ax = body.add_subplot()
    points = [_points(run.report) for run in runs]
    low, high = _limits([values for _, values in points], [run.report.iteration_ms.median for run in runs])
    above = {}
    for run, (iterations, values) in zip(runs, points, strict=True):
        key = draw_course(ax, Curve(iterations.tolist(), np.minimum(values, high).tolist()), run.colour)
        above |= _mark_outliers(ax, run.report, iterations, values, high)
    over_iterations(ax, runs)
    ax.set_ylim(low, high)
    plain_numbers(ax, 'y', bins=6)
    ax.yaxis.set_major_formatter('{x:,g}')
    ax.set_ylabel(f'ms per {what_was_timed(runs[0].report)}')
    ax.grid(axis='y')
    keys = [key]
    times = runs[0].report.iteration_ms
    if len(runs) == 1 and times.count >= FEWEST:
        ax.axhspan(times.p5, times.p95, color=runs[0].colour, alpha=0.1, linewidth=0)
        keys.append(area_key('5 to 95 %', lighter(GREY, 0.75)))
    if any(line.get_color() == ALERT for line in ax.lines):
        keys.append(line_key('outlier', marker='^', color=ALERT, linewidth=0))
    if above:
        PointLabels(ax, above, room=5.0)
    return keys


def _mark_outliers(ax: Axes, report: Report, iterations: np.ndarray, values: np.ndarray, high: float) -> dict[str, XY]:
    """Mark outliers, those above the axis at its end; return the times of the slowest of these, and their places."""
    outliers = report.stability.outliers
    odd = values > min(high, outliers.above_ms if outliers else high)
    if odd.any():
        heights = np.minimum(values[odd], high)
        ax.plot(iterations[odd], heights, '^', markersize=6, color=ALERT, clip_on=False, zorder=5)
    slowest = np.argsort(-values)[:NAMED]
    return {f'{number(values[i])} ms': (iterations[i], high) for i in slowest if values[i] > high}


def _points(report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve with the slowest iterations, which a long curve may have left out."""
    curve, outliers = report.curves['iteration_ms'], report.stability.outliers
    points = dict(zip(curve.iterations, curve.values, strict=True))
    if outliers:
        points |= {float(each.iteration): each.iteration_ms for each in outliers.worst}
    return np.array(sorted(points)), np.array([points[iteration] for iteration in sorted(points)])


def _limits(values: list[np.ndarray], medians: list[float]) -> tuple[float, float]:
    """Return the ends of the axis: it leaves out the slowest iterations if these are few and far from the others."""
    cut = max(CUT * max(medians), *(float(np.quantile(each, 0.95)) for each in values))
    shown = np.concatenate(values)
    shown = shown[shown <= cut]
    low = min(shown.min(), (1 - LEAST_RANGE) * min(medians))
    high = max(shown.max(), (1 + LEAST_RANGE) * max(medians))
    margin = 0.08 * (high - low) or 1.0
    return max(low - margin, 0.0), high + margin


def sentence(report: Report) -> str:
    """Say how long iterations take, which are outliers, and whether they become slower."""
    times, found = report.iteration_ms, report.stability
    timed = what_was_timed(report)
    if times.count < 2:
        return f'One {timed} took {number(times.median)} ms.'
    if times.count < FEWEST:
        text = f'{times.count} samples take {number(times.min)} to {number(times.max)} ms'
    else:
        text = f'Nine of ten take {number(times.p5)} to {number(times.p95)} ms'
    text += f', median {number(times.median)}'
    if found.outliers and found.outliers.count:
        count, worst = found.outliers.count, found.outliers.worst
        text += f'; {count:,} outlier{"s" if count > 1 else ""} above {number(found.outliers.above_ms)} ms'
        if worst:
            text += f', the slowest {number(worst[0].iteration_ms)} ms (iteration {worst[0].iteration:,})'
    if found.drift and not found.drift.noise:
        text += f'; the second half takes {found.drift.ratio:.2f} times the first'
    return f'{text}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say how many times as long the second run's iterations take."""
    ratio = comparison.iteration_ms
    text = f'{number(ratio.first)} and {number(ratio.second)} ms (median)'
    if ratio.ratio is not None:
        text += f': the second takes {ratio.ratio:.2f} times as long'
    if ratio.interval:
        text += ' (95 %: {:.2f} to {:.2f})'.format(*ratio.interval)
    if ratio.verdict == 'noise':
        text += ', which is noise'
    return f'{text}.'


PANEL = Panel('Time of iterations', lambda report: 'iteration_ms' in report.curves, draw, sentence, compared)
