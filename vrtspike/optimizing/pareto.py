"""The Pareto front of quality against time and memory, and its picture."""

from __future__ import annotations

import io
import re
from typing import Any

Point = dict[str, Any]


def front(points: list[Point]) -> list[str]:
    """Return the names of the points that no other beats in time, memory and quality together.

    Points of unknown quality, and those whose gain is not sure, beat nothing and are not on it.
    """
    known = [point for point in points if point['db'] is not None and point['sure']]
    return [point['name'] for point in known if not any(dominates(other, point) for other in known)]


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is nowhere worse than ``b`` and somewhere better; memory that is not known does not count."""
    pairs = [(a['ms'], b['ms']), (-a['db'], -b['db'])]
    if a['mib'] is not None and b['mib'] is not None:
        pairs.append((a['mib'], b['mib']))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def svg(points: list[Point]) -> str:
    """Return the picture as SVG: dB against time, memory against time; points of unknown quality are hollow."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, (quality, memory) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout='constrained')
    best = set(front(points))
    times = [point['ms'] for point in points] or [0.0]
    middle = (min(times) + max(times)) / 2
    for point in points:
        colour = '#0072B2' if point['name'] in best else '#9aa0a6'
        filled = colour if point['db'] is not None else 'none'
        panels = [(quality, point['db']), (memory, point['mib'])]
        for axes, value in panels:
            if value is None:
                continue
            axes.scatter(point['ms'], value, facecolors=filled, edgecolors=colour, zorder=3)
            if point['sure']:  # the others lie close together
                where = (point['ms'], value)
                right = point['ms'] > middle  # its name would leave the panel
                axes.annotate(point['name'], where, xytext=(-5 if right else 5, 4), textcoords='offset points',
                              fontsize=7, horizontalalignment='right' if right else 'left')  # fmt: skip
    quality.set(xlabel='ms per sample', ylabel='dB against the default')
    memory.set(xlabel='ms per sample', ylabel='peak memory, MiB')
    for axes in (quality, memory):
        axes.grid(alpha=0.3)
        axes.margins(0.12)
    with io.StringIO() as text:
        figure.savefig(text, format='svg')
        pyplot.close(figure)
        # From the element on: an XML declaration has no place inside a page.
        return re.sub(r'^.*?(?=<svg)', '', text.getvalue(), flags=re.DOTALL)
