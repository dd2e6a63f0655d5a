"""The forward passes of the stages below the roofline of the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.roofline import BIG_FROM, INEFFICIENT_BELOW, RooflinePoint
from vrtspike.reporting.figures import fit_name
from vrtspike.reporting.formatting import spaced_percent
from vrtspike.reporting.palette import GREY, INK
from vrtspike.reporting.panels.panel import Body, Panel, Run, line_key, log_scale
from vrtspike.reporting.point_labels import XY, PointLabels
from vrtspike.runtime.device import MIB

#: Verdicts have shapes, since colours stand for stages.
MARKERS = {'big': 'o', 'between': 'D', 'inefficient': 'v'}


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw the rates of the stages over their arithmetic intensity, below the roofline; name the bottlenecks."""
    ax = body.add_subplot()
    lines = _draw_rooflines(ax, runs)
    if len(runs) > 1:
        lines += _draw_moves(ax, *(points_of(run.report) for run in runs))
    names = {}
    for i, run in enumerate(runs):
        names |= _draw_points(ax, run, hollow=i < len(runs) - 1)
    ax.margins(0.08)
    log_scale(ax, 'x')
    log_scale(ax, 'y')
    ax.set_xlabel('GMAC per GB read and written')
    ax.set_ylabel('GMAC/s, forward pass')
    ax.grid()
    points = [point for run in runs for point in points_of(run.report).values()]
    PointLabels(ax, names, [_place(point) for point in points], lines)
    shown = {point.verdict for point in points}
    return [line_key(verdict, marker=MARKERS[verdict], linewidth=0) for verdict in MARKERS if verdict in shown]


def _draw_points(ax: Axes, run: Run, hollow: bool) -> dict[str, XY]:
    """Draw the stages of a run, the costliest on top; return the names and places of the bottlenecks."""
    points = points_of(run.report)
    for name in sorted(points, key=lambda name: run.report.stages[name].share or 0.0):
        colour = run.stage_colour(name)
        style = {'marker': MARKERS[points[name].verdict], 'markersize': 6, 'color': colour}
        edge = {'markerfacecolor': 'white', 'markeredgecolor': colour} if hollow else {'markeredgecolor': 'white'}
        ax.plot(*_place(points[name]), linewidth=0, markeredgewidth=1.2 if hollow else 0.5, **style, **edge)
    return {
        fit_name(entry.stage): _place(points[entry.stage])
        for entry in run.report.bottlenecks
        if entry.level and entry.stage in points
    }


def points_of(report: Report) -> dict[str, RooflinePoint]:
    """Return the stages whose arithmetic and memory traffic are both known."""
    return {name: point for name, point in report.roofline.items() if point.macs_per_byte}


def _place(point: RooflinePoint) -> XY:
    return point.macs_per_byte, point.gmacs_per_s


def _draw_rooflines(ax: Axes, runs: Sequence[Run]) -> list[list[XY]]:
    """Draw the rooflines of the devices; return their corners. Runs on the same device share one."""
    rates = [_rates(next(iter(points_of(run.report).values()))) for run in runs]
    points = [point for run in runs for point in points_of(run.report).values()]
    intensities = [point.macs_per_byte for point in points]
    lines = []
    for run, (gmacs_per_s, gb_per_s) in zip(runs, rates, strict=True):
        ridge = gmacs_per_s / gb_per_s
        low, high = min(ridge, *intensities) / 2, max(ridge, *intensities) * 2
        lines.append([(low, low * gb_per_s), (ridge, gmacs_per_s), (high, gmacs_per_s)])
        colour = INK if np.allclose(rates, rates[0]) else run.colour
        ax.plot(*zip(*lines[-1], strict=True), color=colour, linewidth=1.4)
    return lines


def _rates(point: RooflinePoint) -> tuple[float, float]:
    """Return the device's GMAC/s and GB/s, which follow from any of its points."""
    return point.gmacs / point.compute_ms * 1e3, point.mib * MIB / point.memory_ms * 1e3 / 1e9


def _draw_moves(ax: Axes, before: dict[str, RooflinePoint], after: dict[str, RooflinePoint]) -> list[list[XY]]:
    """Connect the points of a stage in both runs; return the lines."""
    moves = [[_place(before[name]), _place(after[name])] for name in before if name in after]
    for move in moves:
        ax.plot(*zip(*move, strict=True), color=GREY, linewidth=0.8, zorder=1)
    return [move for move in moves if move[0] != move[1]]


def sentence(report: Report) -> str:
    """Say how many stages are inefficient, and how much of the device the costliest uses."""
    points = points_of(report)
    counts = Counter(point.verdict for point in points.values())
    text = (
        f'Stages that use less than {spaced_percent(INEFFICIENT_BELOW)} of what the device allows: '
        f'{counts["inefficient"]} of {len(points)}; {spaced_percent(BIG_FROM)} or more: {counts["big"]}'
    )
    first = next((entry.stage for entry in report.bottlenecks if entry.stage in points), None)
    if first:
        point = points[first]
        text += f'; {fit_name(first)}, the costliest: {spaced_percent(point.efficiency)} ({point.bound}-bound)'
    return f'{text}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say how much of the device the costliest stage uses in both runs."""
    points = [points_of(report) for report in (first, second)]
    shared = [entry.stage for entry in first.bottlenecks if all(entry.stage in each for each in points)]
    if not shared:
        return 'No stage was counted in both runs.'
    name = shared[0]
    before, after = (spaced_percent(each[name].efficiency) for each in points)
    return f'{fit_name(name)}, the costliest stage of the first run, uses {before} and {after} of the device.'


PANEL = Panel('Big or inefficient', lambda report: bool(points_of(report)), draw, sentence, compared)
