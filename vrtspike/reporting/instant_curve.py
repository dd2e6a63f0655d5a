"""The picture of quality over the instants of the exposure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from vrtspike.reporting.figures import drawing, save_figure
from vrtspike.reporting.palette import INK, STAGE_COLOURS

SIZE = (7, 4)


def plot(curves: Mapping[str, Mapping[float, float]], path: str | Path) -> None:
    """Plot the PSNR of held-out clips over the instants of the exposure, a curve for each name, into an image file.

    Args:
        curves: For each name, the PSNR in dB by instant, 0 to 1.
        path: The image file.
    """
    with drawing():
        figure = Figure(figsize=SIZE, layout='constrained')
        ax = figure.add_subplot()
        for (name, curve), colour in zip(curves.items(), (INK, *STAGE_COLOURS), strict=False):
            instants = sorted(curve)
            ax.plot(instants, [curve[instant] for instant in instants], 'o-', color=colour, label=name)
        ax.set(xlabel='instant of the exposure', ylabel='PSNR of held-out clips (dB)', xlim=(-0.03, 1.03))
        ax.grid()
        if len(curves) > 1:
            ax.legend()
        save_figure(figure, path)
