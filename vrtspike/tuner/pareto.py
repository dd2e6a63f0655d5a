"""The Pareto front of quality against time and memory, and its picture."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import msgspec

from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.trials import Step, is_known


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
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, (quality, memory) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout='constrained')
    best = set(front(points))
    for point in points:
        colour = '#0072B2' if point.name in best else '#9aa0a6'
        filled = colour if point.db is not None else 'none'
        for axes, value in ((quality, point.db), (memory, point.mib)):
            if value is not None:
                axes.scatter(point.ms, value, facecolors=filled, edgecolors=colour, zorder=3)
    named = [point for point in points if point.name == 'default' or point.name in best or point.db]
    for number, point in enumerate(sorted(named, key=lambda point: point.ms), start=1):
        quality.plot([], [], ' ', label=f'{number}  {point.label}')  # the points lie too close for their names
        for axes, value in ((quality, point.db), (memory, point.mib)):
            if value is not None:
                above = {'xytext': (0, 5), 'textcoords': 'offset points', 'horizontalalignment': 'center'}
                axes.annotate(str(number), (point.ms, value), fontsize=7, **above)
    if named:
        quality.legend(fontsize=7, handlelength=0)
    quality.set(xlabel='ms per sample', ylabel='dB against the default')
    memory.set(xlabel='ms per sample', ylabel='peak memory, MiB')
    for axes in (quality, memory):
        axes.grid(alpha=0.3)
        axes.margins(0.12)
    with io.StringIO() as text:
        figure.savefig(text, format='svg')
        pyplot.close(figure)
        # Without the XML declaration, which a page must not contain.
        return re.sub(r'^.*?(?=<svg)', '', text.getvalue(), flags=re.DOTALL)
