"""Pictures of a report, each panel drawn only where the log has what it shows."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vrtspike.analysis.facts import what_was_timed
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.costs import Bottleneck
from vrtspike.analysis.statistics.table import Statistics
from vrtspike.errors import LogError
from vrtspike.runtime.atomic_write import written_aside

PHASE_COLOURS = {'forward': '#0072B2', 'recompute': '#E69F00', 'backward': '#009E73'}
"""From Okabe and Ito's palette, which colour-blind people can tell apart."""
LOG_SCALE_FROM = 3.0
"""Times of iterations are drawn on a logarithmic scale where the slowest takes this many medians."""

INK, ACCENT = '#30343b', '#D55E00'
STYLE = {
    'axes.spines.top': False, 'axes.spines.right': False, 'axes.edgecolor': '#8a9099', 'axes.labelcolor': INK,
    'axes.titlesize': 11, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left', 'font.size': 9, 'text.color': INK,
    'xtick.color': INK, 'ytick.color': INK, 'legend.frameon': False, 'svg.fonttype': 'none', 'svg.hashsalt': 'vrtspike',
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One picture of a report.

    Args:
        title: Of the picture.
        shows: Whether a report has what it shows.
        draw: Draws it.
    """

    title: str
    shows: Callable[[Report], bool]
    draw: Callable[[Axes, Report], None]


def stage_bars(ax: Axes, report: Report) -> None:
    """Draw mean milliseconds by stage and phase, with shares and their intervals."""
    ranking = {entry.stage: entry for entry in report.bottlenecks}
    names = [name for name in report.stages if name in ranking]
    left = [0.0] * len(names)
    for phase, colour in PHASE_COLOURS.items():
        widths = [mean_of(getattr(report.stages[name], f'{phase}_ms')) for name in names]
        if any(widths):
            ax.barh(names, widths, left=left, color=colour, label=phase, height=0.72)
            left = [x + width for x, width in zip(left, widths, strict=True)]
    for name, end in zip(names, left, strict=True):
        ax.annotate(share_text(ranking[name]), (end, name), xytext=(4, 0), textcoords='offset points', va='center',
                    fontsize=8)  # fmt: skip
    ax.invert_yaxis()
    ax.set_xlim(0, max(left) * 1.28)
    ax.set_xlabel(f'mean ms of one {what_was_timed(report)}; share with its 95 % interval')
    ax.legend(loc='lower right')


def iteration_times(ax: Axes, report: Report) -> None:
    """Draw the time of iterations as it went, with its median and the range of most."""
    curve, summary = report.curves['iteration_ms'], report.iteration_ms
    ax.plot(curve.iterations, curve.values, '.', markersize=3, color='#0072B2', alpha=0.6)
    ax.axhline(summary.median, color=ACCENT, linewidth=1.2, label=f'median {summary.median:.1f} ms')
    ax.axhspan(summary.p5, summary.p95, color=ACCENT, alpha=0.12, linewidth=0, label='p5 to p95')
    ax.set_ylabel(f'ms per {what_was_timed(report)}')
    ax.set_xlabel('iteration')
    if max(curve.values) > LOG_SCALE_FROM * summary.median > 0:
        ax.set_yscale('log')
    else:
        ax.margins(y=0.3)
    ax.legend(loc='best')


def loss_curve(ax: Axes, report: Report) -> None:
    """Draw the loss, and its running median where there are enough points."""
    steps, values = report.curves['loss'].iterations, report.curves['loss'].values
    ax.plot(steps, values, color='#56B4E9', linewidth=0.8, label='loss')
    window = len(values) // 40
    if window > 1:
        smooth = [median(values[max(i - window, 0) : i + window + 1]) for i in range(len(values))]
        ax.plot(steps, smooth, color='#0072B2', linewidth=1.6, label=f'median of {2 * window + 1}')
    if min(values) > 0 and max(values) > 10 * min(values):
        ax.set_yscale('log')
    ax.set_xlabel('iteration')
    ax.set_ylabel('loss')
    ax.legend(loc='upper right')


def quality_curves(ax: Axes, report: Report) -> None:
    """Draw PSNR and, on an axis of its own, SSIM of the validations."""
    curves = report.curves
    for name, style in (('psnr', '-o'), ('blur/psnr', '--'), ('psnr_y', '-s')):
        if name in curves:
            label = {'psnr': 'PSNR', 'blur/psnr': 'PSNR of the blurred input', 'psnr_y': 'PSNR of Y'}[name]
            ax.plot(
                curves[name].iterations, curves[name].values, style, color='#0072B2', markersize=3, label=label
            )
    ax.set_ylabel('dB', color='#0072B2')
    ax.set_xlabel('iteration')
    ssim = next((name for name in ('ssim', 'ssim_y') if name in curves), None)
    handles, labels = ax.get_legend_handles_labels()
    if ssim:
        right = ax.twinx()
        right.plot(curves[ssim].iterations, curves[ssim].values, '-^', color=ACCENT, markersize=3, label='SSIM')
        right.set_ylabel('SSIM', color=ACCENT)
        handles, labels = handles + right.get_lines(), [*labels, 'SSIM']
    ax.legend(handles, labels, loc='best')


def memory_bars(ax: Axes, report: Report) -> None:
    """Draw what every stage leaves allocated, and the peak while it ran."""
    names = [name for name, cost in report.stages.items() if cost.memory_mib is not None]
    peaks = [report.stages[name].memory_mib for name in names]
    kept = [report.stages[name].allocated_mib or 0.0 for name in names]
    ax.barh(names, peaks, color='#CC79A7', alpha=0.5, height=0.72, label='peak while it ran')
    ax.barh(names, kept, color='#CC79A7', height=0.4, label='left allocated by its forward pass')
    ax.invert_yaxis()
    ax.set_xlabel('MiB')
    ax.set_xlim(0, 1.05 * max(peaks))
    ax.legend(loc='lower right', bbox_to_anchor=(1.0, 0.99), ncols=2)


def roofline_plot(ax: Axes, report: Report) -> None:
    """Draw achieved rates over arithmetic intensity below the device's roof; stages that cost much have their names."""
    named = {entry.stage for entry in report.bottlenecks if entry.level}
    points = {name: point for name, point in report.roofline.items() if point.macs_per_byte}
    xs = [point.macs_per_byte for point in points.values()]
    reference = next(iter(points.values()))
    rate = reference.gmacs / reference.compute_ms * 1e3
    bandwidth = reference.mib * 2**20 / reference.memory_ms * 1e3 / 1e9  # GB/s, as intensity is per byte
    ridge = rate / bandwidth
    low, high = min([*xs, ridge]) / 2, max([*xs, ridge]) * 2
    ax.plot([low, ridge, high], [low * bandwidth, rate, rate], color=INK, linewidth=1.4)
    for name, point in points.items():
        colour = {'big': '#009E73', 'between': '#E69F00', 'inefficient': ACCENT}[point.verdict]
        ax.plot(point.macs_per_byte, point.gmacs_per_s, 'o', color=colour, markersize=5)
        if name in named:
            ax.annotate(name, (point.macs_per_byte, point.gmacs_per_s), xytext=(4, 3), textcoords='offset points',
                        fontsize=7)  # fmt: skip
    ax.set_xscale('log')
    ax.set_yscale('log')
    ax.set_xlabel('GMAC per GB read and written')
    ax.set_ylabel('GMAC/s, forward')
    for verdict, colour in (('big', '#009E73'), ('between', '#E69F00'), ('inefficient', ACCENT)):
        ax.plot([], [], 'o', color=colour, label=verdict)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter('{x:g}')
        axis.set_minor_formatter(NullFormatter())
    ax.legend(loc='best')


PANELS = (
    Panel('Where the time goes', lambda r: bool(r.phase_shares and r.bottlenecks), stage_bars),
    Panel('Time of iterations', lambda r: 'iteration_ms' in r.curves, iteration_times),
    Panel('Training loss', lambda r: 'loss' in r.curves, loss_curve),
    Panel('Validation', lambda r: 'psnr' in r.curves or 'psnr_y' in r.curves, quality_curves),
    Panel('Memory', lambda r: any(cost.memory_mib is not None for cost in r.stages.values()), memory_bars),
    Panel('Big or inefficient', lambda r: any(p.macs_per_byte for p in r.roofline.values()), roofline_plot),
)


def panels_of(report: Report) -> list[Panel]:
    """Return the panels that a report has something for."""
    return [panel for panel in PANELS if panel.shows(report)]


def save_picture(report: Report, path: str | Path) -> None:
    """Write all panels of a report as one picture, whose format the suffix of ``path`` chooses."""
    panels = panels_of(report)
    # The first panel has the most to say: with an odd number of them it takes a row of its own.
    odd = len(panels) % 2
    rows = max((len(panels) + odd) // 2, 1)
    with drawing():
        figure = Figure(figsize=(13, 4.6 * rows), layout='constrained')
        figure.suptitle(headline(report), x=0.01, ha='left', fontsize=12)
        grid = figure.add_gridspec(rows, 2)
        for i, panel in enumerate(panels):
            ax = figure.add_subplot(grid[0, :] if odd and i == 0 else grid[divmod(i + odd, 2)])
            panel.draw(ax, report)
            ax.set_title(panel.title)
        save(figure, path)


def svg_of(panel: Panel, report: Report) -> str:
    """Return one panel as an SVG element for a page."""
    with drawing():
        figure = Figure(figsize=(7.2, 4.6), layout='constrained')
        ax = figure.add_subplot()
        panel.draw(ax, report)
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', metadata={'Date': None, 'Creator': None})
    text = buffer.getvalue()
    return text[text.index('<svg') :]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in our style; stages with names that the font lacks are no reason to warn."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing from font')
        yield


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure aside and then rename it.

    Raises:
        LogError: The suffix of ``path`` names no format of pictures.
    """
    known = figure.canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lower().lstrip('.')
    if suffix not in known:
        raise LogError(f"{path}: no picture can be written as '.{suffix}'; known: {', '.join(sorted(known))}")
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=110)


def headline(report: Report) -> str:
    """Return a report's one line: what was measured, and how much of it."""
    parts = [report.name]
    if report.iteration_ms:
        parts.append(f'{report.iteration_ms.median:,.1f} ms per {what_was_timed(report)} (median)')
    parts.append(f'{report.samples:,} samples of {report.source_format}')
    device = ((report.run and report.run.device) or {}).get('name')
    return ' · '.join([*parts, device] if device else parts)


def share_text(entry: Bottleneck) -> str:
    """Return a share in percent, with half the width of its interval where there is one."""
    text = f'{entry.share:.1%}'
    if entry.share_interval:
        low, high = entry.share_interval
        text += f' ± {(high - low) / 2:.1%}'
    return text.replace('%', ' %')


def mean_of(statistics: Statistics | None) -> float:
    """Return a phase's mean, 0 where a stage does not have it."""
    return statistics.mean if statistics else 0.0
