"""Curves of one or several runs in one picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vrtspike.analysis.statistics.curves import Points
from vrtspike.reporting.figures import drawing, save_figure, window_figure

SIZE = (8, 5)
#: Curves with more points than these are drawn without markers.
MAX_MARKERS = 30


def show_or_save_curves(
    curves: list[tuple[str, Points]],
    path: str | Path | None,
    title: str | None = None,
    style: str | None = None,
    backend: str | None = None,
) -> None:
    """Draw labelled curves in one picture, and write it or show it.

    Args:
        curves: Labels and (iterations, values).
        path: File of the picture. None shows it on the screen.
        title: Above the picture.
        style: A style of Matplotlib.
        backend: Matplotlib's backend for showing the picture.

    Raises:
        LogError: There is no such style, or no screen to show the picture on.
    """
    with drawing(style):
        figure = Figure(figsize=SIZE, layout='constrained') if path else window_figure(SIZE, backend)
        ax = figure.add_subplot()
        for label, (steps, values) in curves:
            line = '-' if len(steps) > MAX_MARKERS else '-o'
            ax.plot(steps, values, line, markersize=3, linewidth=1.2, label=label)
        ax.set_xlabel('iteration')
        ax.legend()
        ax.set_title(title or '')
        if path:
            save_figure(figure, path)
        else:
            matplotlib.pyplot.show()
