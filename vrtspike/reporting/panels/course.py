"""Scattered points and their course."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from vrtspike.analysis.statistics.curves import Curve
from vrtspike.reporting.panels.panel import line_key

#: Fewer points than these are joined, not smoothed.
FEWEST = 16
#: The window of the running median is this fraction of the points.
WINDOW = 0.1
#: It reaches at least so many points to either side.
LEAST_REACH = 5
NAMES = ('each sample', 'running median')


def draw_course(ax: Axes, curve: Curve, colour: str, line: Any = '-', names: tuple[str, str] = NAMES) -> Artist:
    """Draw points and their running median, or join them if they are few; return the key of the line.

    Args:
        ax: The plot.
        curve: The points.
        colour: Of points and line.
        line: Line style.
        names: Of joined points, and of the running median, in the key.
    """
    iterations, values = curve.iterations, curve.values
    if len(values) < FEWEST:
        look = {'linestyle': line, 'marker': 'o', 'markersize': 4.5}
        ax.plot(iterations, values, color=colour, linewidth=1.2, **look)
        return line_key(names[0], **look)
    ax.plot(iterations, values, '.', color=colour, markersize=4, alpha=0.35, linewidth=0)
    ax.plot(iterations, running_median(values), color=colour, linewidth=1.5, linestyle=line)
    return line_key(names[1], linestyle=line)


def running_median(values: Sequence[float]) -> list[float]:
    """Return medians over a tenth of the values around each, over half as many near the ends, where they would lag."""
    reach = max(round(WINDOW * len(values)) // 2, LEAST_REACH)
    last, medians = len(values) - 1, []
    for i in range(len(values)):
        near = max(min(reach, i, last - i), reach // 2)
        medians.append(median(values[max(i - near, 0) : i + near + 1]))
    return medians
