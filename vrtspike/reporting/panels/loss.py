"""The training loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.curves import FEWEST_LOSSES, Curve
from vrtspike.reporting.figures import fit_name
from vrtspike.reporting.palette import ALERT
from vrtspike.reporting.panels.course import draw_course
from vrtspike.reporting.panels.panel import Body, Panel, Run, line_key, log_scale, over_iterations, plain_numbers

#: Losses that are drawn if there is no total, each with a line style of its own: colours stand for stages and runs.
LINES = ('-', '--', ':', '-.', (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))
#: The scale is logarithmic if the largest loss is more than this many times the smallest.
LOG_FROM = 10


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw every loss and the course of the total, or without a total the courses of its parts."""
    ax = body.add_subplot()
    keys = {}
    for run in runs:
        for (name, curve), style in zip(losses_of(run.report).items(), LINES, strict=False):
            keys[name] = _draw_loss(ax, run, name, curve, style)
        first = run.report.stability.first_not_finite_iteration
        if first is not None:
            ax.axvline(first, color=ALERT, linewidth=1.2)
            keys['not finite'] = line_key('first loss that is not finite', color=ALERT, linewidth=1.2)
    values = [value for run in runs for curve in losses_of(run.report).values() for value in curve.values]
    over_iterations(ax, runs)
    plain_numbers(ax, 'y', bins=6)
    if min(values) > 0 and max(values) > LOG_FROM * min(values):
        log_scale(ax, 'y')
    ax.set_ylabel('loss')
    ax.grid(axis='y')
    return list(keys.values())


def _draw_loss(ax: Axes, run: Run, name: str, curve: Curve, style: Any) -> Artist:
    if name == 'loss':
        return draw_course(ax, curve, run.colour)
    return draw_course(ax, curve, run.colour, style, names=(fit_name(name), fit_name(name)))


def losses_of(report: Report) -> dict[str, Curve]:
    """Return the curve of the total loss, or without one those of the first parts."""
    if 'loss' in report.curves:
        return {'loss': report.curves['loss']}
    named = {name: curve for name, curve in report.curves.items() if 'loss' in name and name not in report.validation}
    return dict(itertools.islice(named.items(), len(LINES)))


def sentence(report: Report) -> str:
    """Say whether the loss fell, and whether all losses were finite."""
    found, broken = report.convergence, report.stability
    if found:
        change = f'{found.start:.3g} to {found.end:.3g}'
        text = f'The loss falls from {change}' if found.trend == 'falling' else f'The loss rises from {change}'
        if found.trend == 'flat':
            text = f'The loss shows no trend beyond its scatter: {change}'
        text += ' (medians of the first tenth and the last quarter)'
    elif 'loss' in report.curves:
        values = report.curves['loss'].values
        known = f'{len(values)} losses, from {values[0]:.3g} to {values[-1]:.3g}'
        text = f'{known if len(values) > 1 else f"One loss, {values[0]:.3g}"}; a trend needs {FEWEST_LOSSES}'
    else:
        text = 'There is no total loss; its parts are drawn'
    if broken.losses_not_finite:
        count = broken.losses_not_finite
        text += f'; {count:,} {"losses are" if count > 1 else "loss is"} not finite'
        if broken.first_not_finite_iteration is not None:
            text += f', the first at iteration {broken.first_not_finite_iteration:,}'
    return f'{text}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say where both losses end."""
    ends = [report.convergence for report in (first, second)]
    if None in ends:
        return f'{sentence(first)} {sentence(second)}'
    start, end = ends
    return f'The last quarter has a median loss of {start.end:.3g} ({start.trend}) and {end.end:.3g} ({end.trend}).'


PANEL = Panel('Training loss', lambda report: bool(losses_of(report)), draw, sentence, compared)
