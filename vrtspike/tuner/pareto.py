"""The Pareto front of quality against time and memory, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vrtspike.reporting.figures import drawing, figure_svg, fit_name
from vrtspike.reporting.palette import OTHER_STAGES, STAGE_COLOURS
from vrtspike.reporting.point_labels import PointLabels
from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.trials import Step, is_known

SIZE = (13, 4.2)
FRONT = STAGE_COLOURS[0]
#: The two plots: a point's quantity and its axis.
AXES = {'db': 'dB against the default', 'mib': 'peak memory (MiB)'}


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A config in the picture.

    Args:
        name: Its name.
        label: Its name in the legend.
        ms: Time of a sample.
        mib: Peak memory in MiB; None if it is unknown.
        db: Difference in PSNR from the default, in dB; None if it is unknown.
        sure: Whether it was faster, or slower, in every round.
    """

    name: str
    label: str = ''
    ms: float
    mib: float | None
    db: float | None
    sure: bool = True


def points_of(record: SearchRecord) -> list[Point]:
    """Return the default, every measured trial and every measured combination."""
    measured = [*record.measured, *(step for step in record.measured_steps if len(step.parts) > 1)]
    if not measured:
        return []
    default_ms = measured[0].result.default_ms_per_sample
    points = [Point(name='default', label='default', ms=default_ms, mib=record.default_memory_mib, db=0.0)]
    for item in measured:
        difference = record.together_db if item is record.best else item.difference
        point = Point(
            name=item.result.name,
            label=f'+ {item.added}' if isinstance(item, Step) else item.name,
            ms=default_ms * (1 - item.result.saving),  # the default's own time swings from trial to trial
            mib=item.result.peak_memory_mib,
            db=0.0 if item.is_exact else difference.mean if is_known(difference) else None,
            sure=item.result.saves_time or item.result.is_slower,
        )
        points.append(point)
    return points


def front(points: Sequence[Point]) -> list[str]:
    """Return the names of the points on the front: no other point beats them in time, memory and quality together.

    Points that are not sure or of unknown quality are not on the front and beat no other point.
    """
    known = [point for point in points if point.db is not None and point.sure]
    return [point.name for point in known if not any(dominates(other, point) for other in known)]


def dominates(a: Point, b: Point) -> bool:
    """Return whether ``a`` is better than ``b`` in one respect and worse in none. Unknown memory is not compared."""
    pairs = [(a.ms, b.ms), (-a.db, -b.db)]
    if a.mib is not None and b.mib is not None:
        pairs.append((a.mib, b.mib))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def svg(points: Sequence[Point]) -> str:
    """Return the picture as SVG: dB against time, memory against time.

    Points of unknown quality are hollow. Numbers label the default, the points on the front and the trained configs.
    """
    best = set(front(points))
    named = [point for point in points if point.name == 'default' or point.name in best or point.db]
    numbers = {point.name: i for i, point in enumerate(sorted(named, key=lambda point: point.ms), start=1)}
    with drawing():
        figure = Figure(figsize=SIZE, layout='constrained')
        for ax, (quantity, axis) in zip(figure.subplots(1, 2), AXES.items(), strict=True):
            _draw(ax, [point for point in points if getattr(point, quantity) is not None], quantity, best, numbers)
            ax.set(xlabel='ms per sample', ylabel=axis)
        # The points lie too close for their names.
        texts = {numbers[point.name]: f'{numbers[point.name]}  {fit_name(point.label, 40)}' for point in named}
        keys = [Line2D([], [], linewidth=0, label=text) for _, text in sorted(texts.items())]
        figure.legend(handles=keys, loc='outside right upper', handlelength=0, handletextpad=0)
        return figure_svg(figure, f'Quality and memory against time of {len(points)} configs')


def _draw(ax: Axes, points: Sequence[Point], quantity: str, best: set[str], numbers: Mapping[str, int]) -> None:
    names = {}
    for point in points:
        colour = FRONT if point.name in best else OTHER_STAGES
        place = point.ms, getattr(point, quantity)
        filled = colour if point.db is not None else 'none'
        ax.plot(*place, 'o', markerfacecolor=filled, markeredgecolor=colour, zorder=3 if point.name in best else 2)
        if point.name in numbers:
            names[str(numbers[point.name])] = place
    ax.grid()
    ax.margins(0.12)
    PointLabels(ax, names, [(point.ms, getattr(point, quantity)) for point in points], room=4.5)
