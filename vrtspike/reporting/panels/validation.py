"""The scores of the validations."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from vrtspike.analysis.comparison import Comparison
from vrtspike.analysis.report import Report
from vrtspike.analysis.statistics.curves import QUALITY
from vrtspike.reporting.figures import fit_name
from vrtspike.reporting.palette import GREY
from vrtspike.reporting.panels.panel import HEIGHT, MAX_MARKERS, Body, Panel, Run, line_key, over_iterations
from vrtspike.reporting.point_labels import XY, PointLabels

NAMES = {'psnr': 'PSNR (dB)', 'psnr_y': 'PSNR of Y (dB)', 'ssim': 'SSIM', 'ssim_y': 'SSIM of Y', 'lpips': 'LPIPS'}
#: What scores are compared with, by the start of their names, and how they are drawn.
INPUTS = {'blur': ('blurred input', '--'), 'tfp': ('TFP', ':')}
MOST_SCORES = 3


def draw(body: Body, runs: Sequence[Run]) -> list[Artist]:
    """Draw every score over the iterations, in a plot of its own, with those of the blurred input and of TFP."""
    scores = list(dict.fromkeys(name for run in runs for name in scores_of(run.report)))[:MOST_SCORES]
    plots = body.subplots(len(scores), 1, sharex=True, squeeze=False, gridspec_kw={'hspace': 0.15})[:, 0]
    for ax, score in zip(plots, scores, strict=True):
        over_iterations(ax, runs)
        ax.label_outer()
        _draw_score(ax, score, runs)
    return [line_key('restored', marker='o', markersize=5)]


def _draw_score(ax: Axes, score: str, runs: Sequence[Run]) -> None:
    names, lines = _draw_inputs(ax, score, runs)
    shown = [run for run in runs if score in run.report.curves]
    for later, run in enumerate(reversed(shown)):
        curve = run.report.curves[score]
        size = 8 if len(curve.values) == 1 else 4 if len(curve.values) <= MAX_MARKERS else 0
        # The first run's markers are larger, so that the second's do not hide them.
        style = {'marker': 'o', 'markersize': size and size + 4 * later, 'linewidth': 1.6, 'zorder': 3 - 0.1 * later}
        ax.plot(curve.iterations, curve.values, color=run.colour, **style)
        points = list(zip(curve.iterations, curve.values, strict=True))
        names[_text(score, curve.values[-1])] = points[-1]
        lines.append(points)
    ax.set_ylabel(NAMES.get(score, fit_name(score)))
    _widen(ax, 1.0 if _digits(score) == 2 else 0.02)
    ax.grid(axis='y')
    ax.locator_params(axis='y', nbins=4)
    PointLabels(ax, names, lines=lines, room=6.0)


def _widen(ax: Axes, least: float) -> None:
    """Leave room for names, and show at least this range, so that a difference that means nothing looks small."""
    low, high = ax.dataLim.intervaly
    middle, half = (low + high) / 2, max(0.7 * (high - low), least / 2)
    ax.set_ylim(middle - half, middle + half)


def _draw_inputs(ax: Axes, score: str, runs: Sequence[Run]) -> tuple[dict[str, XY], list[list[XY]]]:
    """Draw the scores of what was not restored as lines across the plot; return their names with places, and the lines.

    They do not change in a run, and both runs of a comparison may share them.
    """
    names, lines = {}, []
    left, right = ax.get_xlim()
    for start, (label, style) in INPUTS.items():
        curves = {run.colour: run.report.curves.get(f'{start}/{score}') for run in runs}
        levels = {colour: curve.values[-1] for colour, curve in curves.items() if curve}
        shared = len(set(levels.values())) == 1
        for colour, level in levels.items():
            ax.axhline(level, linestyle=style, color=GREY if shared else colour, linewidth=1.3)
            names[f'{label} {_text(score, level)}'] = (left + 0.02 * (right - left), level)
            lines.append([(left, level), (right, level)])
    return names, lines


def scores_of(report: Report) -> list[str]:
    """Return the scores of restored frames that have a curve, PSNR and SSIM first."""
    found = [name for name in report.validation if name in report.curves and name.partition('/')[0] not in INPUTS]
    first = ('psnr', 'ssim', *QUALITY)
    return sorted(found, key=lambda name: first.index(name) if name in first else len(first))[:MOST_SCORES]


def sentence(report: Report) -> str:
    """Say what the first score is, how far from that of the blurred input, and when it was best."""
    score = scores_of(report)[0]
    found, blurred = report.validation[score], report.validation.get(f'blur/{score}')
    name, unit = _name_and_unit(score)
    text = f'{name} {_text(score, found.last)}{unit} at iteration {found.last_iteration:,}'
    if blurred:
        difference = found.last - blurred.last
        side = 'above' if difference >= 0 else 'below'
        text += f', {_text(score, abs(difference))}{unit} {side} the blurred input'
    if found.best_iteration != found.last_iteration:
        text += f'; the best was {_text(score, found.best)} at iteration {found.best_iteration:,}'
    elif len(report.curves[score].values) > 1:
        text += '; it is the best so far'
    return f'{text}.'


def compared(comparison: Comparison, first: Report, second: Report) -> str:
    """Say how the last scores differ."""
    texts = []
    for score in scores_of(first):
        if score in comparison.validation:
            (name, unit), each = _name_and_unit(score), comparison.validation[score]
            difference = f'{each.difference:+.{_digits(score)}f}'
            texts.append(f'{name} {_text(score, each.first)} and {_text(score, each.second)}{unit} ({difference})')
    return f'{"; ".join(texts)}.' if texts else 'The runs have no score in common.'


def _name_and_unit(score: str) -> tuple[str, str]:
    """Return the name of a score, and its unit after a space."""
    name, _, unit = NAMES.get(score, fit_name(score)).partition(' (')
    return name, f' {unit.rstrip(")")}' if unit else ''


def _text(score: str, value: float) -> str:
    return f'{value:.{_digits(score)}f}'


def _digits(score: str) -> int:
    return 2 if 'psnr' in score.lower() else 4


def height(runs: Sequence[Run]) -> float:
    """Return the height of the panel, with a plot for each score, in inches."""
    return max(HEIGHT, 1.0 + 1.2 * max(len(scores_of(run.report)) for run in runs))


PANEL = Panel('Validation', lambda report: bool(scores_of(report)), draw, sentence, compared, height)
