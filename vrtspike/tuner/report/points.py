"""The points of the picture: quality and memory against time."""

from __future__ import annotations

from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.pareto import Point
from vrtspike.tuner.record import SearchRecord
from vrtspike.tuner.trials import Measured, Step, Trial, is_known


def points_of(record: SearchRecord) -> list[Point]:
    """Return the default, every measured trial and every measured combination."""
    measured = [*record.measured, *(step for step in record.measured_steps if len(step.parts) > 1)]
    if not measured:
        return []
    default_ms = measured[0].result.default_ms_per_sample
    default = Point(name='default', label='default', ms=default_ms, mib=record.default_memory_mib, db=0.0)
    return [default, *(point_of(item, default_ms, record) for item in measured)]


def point_of(item: Trial | Step, default_ms: float, record: SearchRecord) -> Point:
    """Return the point of a trial or of a combination, which is labelled by what was added last."""
    result: Measured = item.result
    match item:
        case Step():
            label, difference = f'+ {item.added}', record.together_db if item is record.best else item.difference
        case Trial():
            label, difference = item.name, item.difference_db
    return Point(
        name=result.name,
        label=label,
        ms=default_ms * (1 - result.saving),  # the default's own time swings from trial to trial
        mib=result.peak_memory_mib,
        db=0.0 if item.is_exact else mean_of(difference),
        sure=result.saves_time or result.is_slower,
    )


def mean_of(difference: Difference | None) -> float | None:
    """Return the mean of a known difference."""
    return difference.mean if is_known(difference) else None
