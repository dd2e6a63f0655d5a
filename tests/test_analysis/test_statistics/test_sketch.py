import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vrtspike.analysis.statistics.sketch import LARGEST, RELATIVE_ERROR, SMALLEST, QuantileSketch

QS = (0.0, 0.05, 0.25, 0.5, 0.95, 1.0)


@given(
    st.lists(st.floats(2 * SMALLEST, LARGEST / 2), min_size=1, max_size=200),
    st.sampled_from(QS),
)
@settings(max_examples=60, deadline=None)
def test_quantile_is_within_the_documented_error_of_the_exact_one(values, q):
    sketch = QuantileSketch(1)
    sketch.add(np.array(values)[:, None])
    exact = np.quantile(values, q, method='lower')
    assert sketch.quantile(0, q) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.0001)


def test_the_documented_error():
    assert RELATIVE_ERROR < 0.005


def test_columns_are_apart_and_nan_is_no_value():
    sketch = QuantileSketch(2)
    sketch.add(np.array([[1.0, np.nan], [1.0, 100.0], [np.nan, np.nan]]))
    assert sketch.counts.sum(axis=1).tolist() == [2, 1]
    assert sketch.quantile(1, 0.5) == pytest.approx(100, rel=RELATIVE_ERROR)


def test_small_negative_and_huge_values_have_bins():
    sketch = QuantileSketch(1)
    sketch.add(np.array([[-5.0], [0.0], [1e-9], [np.inf]]))
    assert sketch.quantile(0, 0.5) == 0.0
    assert sketch.counts[0, 0] == 3
    assert sketch.counts[0, -1] == 1


def test_an_empty_column_has_no_quantile():
    assert np.isnan(QuantileSketch(1).quantile(0, 0.5))


def test_count_above():
    sketch = QuantileSketch(1)
    sketch.add(np.array([[1.0]] * 5 + [[10.0]] * 3))
    assert sketch.count_above(0, 5.0) == 3
    assert sketch.count_above(0, 20.0) == 0
    assert sketch.count_above(0, 0.0) == 8


def test_a_new_column_is_zero_in_earlier_rows():
    sketch = QuantileSketch(1)
    sketch.grow(1, zeros=7)
    assert sketch.counts[1].sum() == 7
    assert sketch.quantile(1, 0.9) == 0.0
