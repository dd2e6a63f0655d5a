"""Curves of one or several runs in one picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vrtspike.analysis.statistics.curves import Points
from vrtspike.errors import LogError, did_you_mean
from vrtspike.reporting.plots import drawing, save


def show_or_save_curves(
    curves: list[tuple[str, Points]],
    path: str | Path | None,
    title: str | None = None,
    style: str | None = None,
    backend: str | None = None,
) -> None:
    """Draw labelled curves, each (label, (iterations, values)), and write the picture or, without ``path``, show it.

    Raises:
        LogError: There is no such style, or no screen to show the picture on.
    """
    with drawing():
        if style:
            use_style(style)
        figure = Figure(figsize=(8, 5), layout='constrained') if path else window(backend)
        ax = figure.add_subplot()
        for label, (steps, values) in curves:
            ax.plot(steps, values, '-' if len(steps) > 30 else '-o', markersize=3, linewidth=1.2, label=label)
        ax.set_xlabel('iteration')
        ax.legend()
        ax.set_title(title or '')
        if path:
            save(figure, path)
        else:
            matplotlib.pyplot.show()


def use_style(name: str) -> None:
    """Draw in one of Matplotlib's styles."""
    from matplotlib import style

    if name not in style.available:
        raise LogError(f"Matplotlib has no style '{name}'{did_you_mean(name, style.available)}")
    style.use(name)


def window(backend: str | None) -> Figure:
    """Return a figure that will be shown on the screen."""
    import matplotlib.pyplot as plt

    try:
        plt.switch_backend(backend or plt.get_backend())
    except (ImportError, ValueError) as error:
        raise LogError(f'the picture cannot be shown ({error}): write it with --out FILE') from error
    if plt.get_backend().lower() in ('agg', 'svg', 'pdf', 'ps', 'cairo', 'template'):
        raise LogError('there is no screen to show the picture on: write it with --out FILE')
    return plt.figure(figsize=(8, 5), layout='constrained')
