import numpy as np
import pytest

from vrtspike.analysis.statistics.trace import CAPACITY, Trace


def filled(number: int, batch: int = 100, start: int = 0) -> Trace:
    trace = Trace(1)
    rows = np.arange(start, start + number, dtype=float)[:, None]
    for i in range(0, number, batch):
        trace.add(rows[i : i + batch])
    return trace


def test_a_short_log_is_kept_whole():
    trace = filled(CAPACITY)
    assert trace.exact
    assert trace.rows[:, 0].tolist() == list(range(CAPACITY))


@pytest.mark.parametrize('batch', [1, 7, 1000, 5000])
def test_a_long_log_is_thinned_evenly_and_in_order(batch):
    trace = filled(20_000, batch)
    kept = trace.rows[:, 0]
    assert not trace.exact
    assert CAPACITY // 2 <= len(kept) <= CAPACITY
    assert (np.diff(kept) > 0).all()
    assert np.diff(kept).max() < 3 * trace.stride
    in_tenths, _ = np.histogram(kept, 10, (0, 20_000))
    assert in_tenths == pytest.approx(np.full(10, len(kept) / 10), rel=0.05)


def test_what_is_periodic_is_not_missed():
    """An optimizer that steps every sixth iteration is seen in a sixth of the rows, whatever the stride."""
    steps = (np.arange(60_000) % 6 == 5).astype(float)
    trace = Trace(1)
    trace.add(steps[:, None])
    assert trace.stride > 6
    assert trace.rows.mean() == pytest.approx(1 / 6, abs=0.03)


def test_merging_thins_both_alike():
    long, short = filled(10_000), filled(1000, start=10_000)
    long.merge(short)
    kept = long.rows[:, 0]
    assert long.seen == 11_000
    assert (np.diff(kept) > 0).all()
    assert (kept >= 10_000).mean() == pytest.approx(1 / 11, abs=0.03)


def test_growing_fills_earlier_rows():
    trace = filled(3)
    trace.grow(np.array([0.0, np.nan]))
    assert np.array_equal(trace.rows, [[0, 0, np.nan], [1, 0, np.nan], [2, 0, np.nan]], equal_nan=True)
