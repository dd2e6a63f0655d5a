"""Plots of a run's report. A panel is drawn only if the log has what it shows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vrtspike.analysis.facts import what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.curves import Curve
from vrtspike.analysis.statistics.roofline import RooflinePoint
from vrtspike.analysis.statistics.stage_shares import Bottleneck
from vrtspike.reporting.figures import INK, drawing, figure_svg, save_figure
from vrtspike.reporting.memory_plots import draw_memory_timeline
from vrtspike.reporting.report_summary import headline
from vrtspike.runtime.device import MIB

# Okabe and Ito's palette, which colour-blind people can tell apart.
BLUE, SKY, GREEN, ORANGE, RED, PURPLE = '#0072B2', '#56B4E9', '#009E73', '#E69F00', '#D55E00', '#CC79A7'
PHASE_COLOURS = {'forward': BLUE, 'recompute': ORANGE, 'backward': GREEN}
VERDICT_COLOURS = {'big': GREEN, 'between': ORANGE, 'inefficient': RED}
BAR = 0.72
#: Iteration times are drawn on a logarithmic scale if the slowest takes more than this many medians.
LOG_SCALE_FROM = 3.0
PSNR_LINES = {
    'psnr': ('PSNR', '-o'),
    'blur/psnr': ('PSNR of the blurred input', '--o'),
    'psnr_y': ('PSNR of Y', '-s'),
}
PICTURE_WIDTH, PANEL_HEIGHT = 13.0, 4.6
PAGE_PANEL = (6.2, 4.5)
MOST_LOSSES = 6
#: Room of a stage's name in the roofline plot, in pixels.
LABEL_WIDTH, LABEL_HEIGHT = 80, 12


class Panel(NamedTuple):
    """One plot of a report: its title, whether a report has what it shows, and what draws it."""

    title: str
    has_data: Callable[[Report], bool]
    draw: Callable[[Axes, Report], None]


def draw_stage_bars(ax: Axes, report: Report) -> None:
    """Draw mean milliseconds by stage and phase, with the stages' shares and their intervals."""
    ranking = {entry.stage: entry for entry in report.bottlenecks}
    names = [name for name in report.stages if name in ranking]
    ends = [0.0] * len(names)
    for phase, colour in PHASE_COLOURS.items():
        times = [getattr(report.stages[name], f'{phase}_ms') for name in names]
        widths = [time.mean if time else 0.0 for time in times]
        if any(widths):
            ax.barh(names, widths, left=ends, color=colour, label=phase, height=BAR)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for name, end in zip(names, ends, strict=True):
        _annotate(ax, share_text(ranking[name]), (end, name), offset=(4, 0), size=8, va='center')
    ax.invert_yaxis()
    ax.set_xlim(0, max(ends) * 1.28)
    ax.set_xlabel(f'mean ms of one {what_was_timed(report)}; share with its 95 % interval')


def draw_iteration_times(ax: Axes, report: Report) -> None:
    """Draw the time of each iteration, with the median and the range from the 5th to the 95th percentile."""
    curve, times = report.curves['iteration_ms'], report.iteration_ms
    ax.plot(curve.iterations, curve.values, '.', markersize=3, color=BLUE, alpha=0.6)
    ax.axhline(times.median, color=RED, linewidth=1.2, label=f'median {times.median:.1f} ms')
    ax.axhspan(times.p5, times.p95, color=RED, alpha=0.12, linewidth=0, label='p5 to p95')
    ax.set_ylabel(f'ms per {what_was_timed(report)}')
    ax.set_xlabel('iteration')
    if max(curve.values) > LOG_SCALE_FROM * times.median > 0:
        _use_log_scale(ax, 'y')
    else:
        ax.margins(y=0.3)


def draw_loss(ax: Axes, report: Report) -> None:
    """Draw the loss and, if there are enough points, its running median; without a total loss, all of its parts."""
    curves = {'loss': report.curves['loss']} if 'loss' in report.curves else losses_of(report)
    for name, curve in curves.items():
        colour = {'color': SKY, 'linewidth': 0.8} if len(curves) == 1 else {'linewidth': 1.2}
        ax.plot(curve.iterations, curve.values, label=name, **colour)
    values = [value for curve in curves.values() for value in curve.values]
    reach = len(values) // 40  # to both sides: the median is over a twentieth of the curve
    if len(curves) == 1 and reach > 1:
        smooth = [median(values[max(i - reach, 0) : i + reach + 1]) for i in range(len(values))]
        ax.plot(curve.iterations, smooth, color=BLUE, linewidth=1.6, label=f'median of {2 * reach + 1}')
    if min(values) > 0 and max(values) > 10 * min(values):
        _use_log_scale(ax, 'y')
    ax.set_xlabel('iteration')
    ax.set_ylabel('loss')


def losses_of(report: Report) -> dict[str, Curve]:
    """Return the curves of the first MOST_LOSSES losses."""
    named = {name: curve for name, curve in report.curves.items() if 'loss' in name and name not in report.validation}
    return dict(itertools.islice(named.items(), MOST_LOSSES))


def draw_quality(ax: Axes, report: Report) -> None:
    """Draw PSNR and SSIM of the validations; SSIM has an axis of its own."""
    curves = report.curves
    for name, (label, line) in PSNR_LINES.items():
        if name in curves:
            ax.plot(curves[name].iterations, curves[name].values, line, color=BLUE, markersize=3, label=label)
    ax.set_ylabel('dB', color=BLUE)
    ax.set_xlabel('iteration')
    ssim = curves.get('ssim') or curves.get('ssim_y')
    if ssim:
        right = ax.twinx()
        right.plot(ssim.iterations, ssim.values, '-^', color=RED, markersize=3)
        right.set_ylabel('SSIM', color=RED)
        right.spines['right'].set_visible(True)
        ax.plot([], [], '-^', color=RED, markersize=3, label='SSIM')


def draw_memory(ax: Axes, report: Report) -> None:
    """Draw the peak memory while each stage ran, and what it left allocated."""
    costs = {name: cost for name, cost in report.stages.items() if cost.memory_mib is not None}
    peaks = [cost.memory_mib for cost in costs.values()]
    left = [cost.allocated_mib or 0.0 for cost in costs.values()]
    ax.barh(list(costs), peaks, color=PURPLE, alpha=0.5, height=BAR, label='peak while it ran')
    ax.barh(list(costs), left, color=PURPLE, height=0.4, label='left allocated by its forward pass')
    ax.invert_yaxis()
    ax.set_xlabel('MiB')
    ax.set_xlim(0, 1.05 * max(peaks))


def draw_explained_memory(ax: Axes, report: Report) -> None:
    """Draw what holds the memory over an explained iteration."""
    draw_memory_timeline(ax, report.explained_memory)


def draw_roofline(ax: Axes, report: Report) -> None:
    """Draw the rates of the stages over their arithmetic intensity, below the roofline; name the bottlenecks."""
    points = {name: point for name, point in report.roofline.items() if point.macs_per_byte}
    _draw_roofline(ax, list(points.values()))
    for point in points.values():
        ax.plot(point.macs_per_byte, point.gmacs_per_s, 'o', color=VERDICT_COLOURS[point.verdict], markersize=5)
    for verdict, colour in VERDICT_COLOURS.items():
        ax.plot([], [], 'o', color=colour, label=verdict)
    _use_log_scale(ax, 'x')
    _use_log_scale(ax, 'y')
    ax.set_xlabel('GMAC per GB read and written')
    ax.set_ylabel('GMAC/s, forward')
    ax.margins(0.08)
    named = [entry.stage for entry in report.bottlenecks if entry.level and entry.stage in points]
    _annotate_points(ax, {name: (points[name].macs_per_byte, points[name].gmacs_per_s) for name in named})


def _use_log_scale(ax: Axes, axis: str) -> None:
    """Use a logarithmic scale with plain numbers at 1, 2 and 5."""
    ax.set(**{f'{axis}scale': 'log'})
    scale = getattr(ax, f'{axis}axis')
    scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
    scale.set_major_formatter('{x:g}')
    scale.set_minor_formatter(NullFormatter())


def _annotate_points(ax: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Write the names of points beside them, from the bottom up, each above those it would cover."""
    taken: list[tuple[float, float]] = []
    for name, point in sorted(points.items(), key=lambda each: each[1][1]):
        x, y = ax.transData.transform(point)
        top = y
        while any(abs(x - other_x) < LABEL_WIDTH and abs(top - other_y) < LABEL_HEIGHT for other_x, other_y in taken):
            top += 1
        taken.append((x, top))
        _annotate(ax, name, point, offset=(5, 2 + (top - y) * 72 / ax.figure.dpi), size=7)


def _draw_roofline(ax: Axes, points: list[RooflinePoint]) -> None:
    """Draw the highest rate of the device at every arithmetic intensity."""
    point = points[0]  # the device's rates follow from any of them
    gmacs_per_s = point.gmacs / point.compute_ms * 1e3
    gb_per_s = point.mib * MIB / point.memory_ms * 1e3 / 1e9
    ridge = gmacs_per_s / gb_per_s
    intensities = [ridge, *(point.macs_per_byte for point in points)]
    low, high = min(intensities) / 2, max(intensities) * 2
    ax.plot([low, ridge, high], [low * gb_per_s, gmacs_per_s, gmacs_per_s], color=INK, linewidth=1.4)


def draw_panel(panel: Panel, ax: Axes, report: Report) -> None:
    """Draw a panel, with the legend above it, where it hides nothing, on the right of the title."""
    panel.draw(ax, report)
    ax.legend(loc='lower right', bbox_to_anchor=(1.0, 0.99), ncols=3)


def _annotate(ax: Axes, text: str, xy: tuple, offset: tuple[float, float], size: int, **options: str) -> None:
    ax.annotate(text, xy, xytext=offset, textcoords='offset points', fontsize=size, **options)


PANELS = (
    Panel('Where the time goes', lambda r: bool(r.phase_shares and r.bottlenecks), draw_stage_bars),
    Panel('Time of iterations', lambda r: 'iteration_ms' in r.curves, draw_iteration_times),
    Panel('Training loss', lambda r: bool(losses_of(r)), draw_loss),
    Panel('Validation', lambda r: 'psnr' in r.curves or 'psnr_y' in r.curves, draw_quality),
    Panel('Memory', lambda r: any(cost.memory_mib is not None for cost in r.stages.values()), draw_memory),
    Panel('Memory over an iteration', lambda r: r.explained_memory is not None, draw_explained_memory),
    Panel('Big or inefficient', lambda r: any(p.macs_per_byte for p in r.roofline.values()), draw_roofline),
)


def panels_of(report: Report) -> list[Panel]:
    """Return the panels that a report has data for."""
    return [panel for panel in PANELS if panel.has_data(report)]


def save_picture(report: Report, path: str | Path) -> None:
    """Write all panels of a report as one picture in the format that the suffix of ``path`` names."""
    panels = panels_of(report)
    # The first panel has the longest labels: if the number of panels is odd, it gets a row of its own.
    odd = len(panels) % 2
    rows = max((len(panels) + odd) // 2, 1)
    with drawing():
        figure = Figure(figsize=(PICTURE_WIDTH, PANEL_HEIGHT * rows), layout='constrained')
        figure.suptitle(headline(report), x=0.01, ha='left', fontsize=12)
        grid = figure.add_gridspec(rows, 2)
        for i, panel in enumerate(panels):
            ax = figure.add_subplot(grid[0, :] if odd and i == 0 else grid[divmod(i + odd, 2)])
            draw_panel(panel, ax, report)
            ax.set_title(panel.title)
        save_figure(figure, path)


def panel_svg(panel: Panel, report: Report) -> Markup:
    """Return one panel as an SVG element."""
    with drawing():
        figure = Figure(figsize=PAGE_PANEL, layout='constrained')
        draw_panel(panel, figure.add_subplot(), report)
        return figure_svg(figure)


def share_text(entry: Bottleneck) -> str:
    """Return a share in percent, with half the width of its interval if that is known."""
    text = f'{entry.share:.1%}'
    if entry.share_interval:
        low, high = entry.share_interval
        text += f' ± {(high - low) / 2:.1%}'
    return text.replace('%', ' %')
