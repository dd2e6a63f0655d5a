"""The picture of an ablation's record: quality against time."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from vrtspike.experiments.record import AblationRecord
from vrtspike.experiments.statistics import Interval
from vrtspike.reporting.figures import drawing, fit_name, save_figure
from vrtspike.reporting.palette import INK, STAGE_COLOURS
from vrtspike.reporting.point_labels import PointLabels

SIZE = (8, 5)
REFERENCE, VARIANT = INK, STAGE_COLOURS[0]


def plot(record: AblationRecord, path: str | Path) -> None:
    """Plot quality against time, with the intervals over the seeds, into an image file."""
    with drawing():
        figure = Figure(figsize=SIZE, layout='constrained')
        ax = figure.add_subplot()
        shown = [variant for variant in record.variants if variant.psnr_db.mean is not None]
        names = {fit_name(variant.name): (variant.iteration_ms, variant.psnr_db.mean) for variant in shown}
        for variant in shown:
            colour = REFERENCE if variant is record.variants[0] else VARIANT
            ax.plot([variant.iteration_ms] * 2, _ends(variant.psnr_db), color=colour, marker='_', linewidth=1.2)
            ax.plot(variant.iteration_ms, variant.psnr_db.mean, 'o', color=colour)
        ax.set(xlabel='ms per training iteration', ylabel='PSNR of held-out clips (dB), 95 % over seeds')
        ax.margins(0.12)
        ax.grid()
        intervals = [[(variant.iteration_ms, end) for end in _ends(variant.psnr_db)] for variant in shown]
        PointLabels(ax, names, lines=intervals, room=4.5)
        save_figure(figure, path)


def _ends(interval: Interval) -> tuple[float, float]:
    """Return the ends of an interval; both are its mean if a single seed gives none."""
    return (interval.mean, interval.mean) if interval.low is None else (interval.low, interval.high)
