import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from vrtspike.analysis.statistics.samples import WORST, RowBuffer, SampleTable
from vrtspike.analysis.statistics.sketch import RELATIVE_ERROR
from vrtspike.analysis.statistics.trace import CAPACITY

NAMES = ('iteration', 'iteration_ms', 'stages/a/total_ms')


def table_of(ms: np.ndarray, first: int = 1) -> SampleTable:
    table = SampleTable()
    iterations = np.arange(first, first + len(ms))
    for i in range(0, len(ms), 500):
        table.add(NAMES, np.column_stack([iterations, ms, ms / 2])[i : i + 500])
    return table


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_statistics_of_a_short_log_are_exact(values):
    statistics = table_of(np.array(values)).statistics('iteration_ms')
    p5, p25, p50, p75, p95 = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
    expected = dict(median=p50, mean=np.mean(values), p5=p5, p95=p95, iqr=p75 - p25)
    expected |= dict(min=min(values), max=max(values), count=len(values))
    assert asdict(statistics) == pytest.approx(expected)


def test_of_a_long_log_all_but_quantiles_are_exact():
    ms = np.random.default_rng(0).lognormal(5, 1, 5 * CAPACITY)
    statistics = table_of(ms).statistics('iteration_ms')
    assert statistics.mean == pytest.approx(ms.mean())
    assert (statistics.min, statistics.max, statistics.count) == (ms.min(), ms.max(), len(ms))
    for key, q in (('median', 0.5), ('p5', 0.05), ('p95', 0.95)):
        assert getattr(statistics, key) == pytest.approx(np.quantile(ms, q), rel=2 * RELATIVE_ERROR)


@pytest.mark.parametrize('cut', [1, 300, 4000])
def test_merged_parts_are_the_whole(cut):
    ms = np.random.default_rng(1).lognormal(5, 1, 5000)
    whole, first, second = table_of(ms), table_of(ms[:cut]), table_of(ms[cut:], first=cut + 1)
    first.merge(second)
    for name in NAMES:
        assert first.total(name) == pytest.approx(whole.total(name))
        assert first.number(name) == whole.number(name)
        assert (first.lowest(name), first.highest(name)) == (whole.lowest(name), whole.highest(name))
    assert np.array_equal(first.sketch.counts, whole.sketch.counts)
    assert first.worst == whole.worst
    assert [iteration for _, iteration in whole.worst] == list(np.argsort(-ms)[:WORST] + 1)


def test_a_phase_that_rows_lack_counts_as_zero_and_other_quantities_do_not():
    table = SampleTable()
    table.add(('iteration_ms',), np.array([[10.0], [10.0]]))
    table.add(('iteration_ms', 'stages/a/total_ms', 'memory_mib'), np.array([[10.0, 4.0, 100.0]]))
    table.add(('iteration_ms',), np.array([[10.0]]))
    assert table.mean('stages/a/total_ms') == 1.0
    assert table.statistics('stages/a/total_ms').min == 0.0
    assert table.column('stages/a/total_ms').tolist() == [0, 0, 4, 0]
    assert (table.mean('memory_mib'), table.number('memory_mib')) == (100.0, 1)


def test_merging_tables_of_other_columns():
    first, second = SampleTable(), SampleTable()
    first.add(('iteration_ms', 'stages/a/total_ms'), np.array([[10.0, 4.0]]))
    second.add(('stages/b/total_ms', 'iteration_ms'), np.array([[3.0, 20.0]]))
    first.merge(second)
    assert second.names == ('stages/b/total_ms', 'iteration_ms')
    assert first.column('stages/a/total_ms').tolist() == [4, 0]
    assert first.column('stages/b/total_ms').tolist() == [0, 3]
    assert first.total('iteration_ms') == 30


def test_what_was_never_measured_has_no_statistics():
    table = SampleTable()
    table.add(('memory_mib',), np.array([[np.nan]]))
    assert table.statistics('memory_mib') is None
    assert table.highest('memory_mib') is None
    assert table.mean('nothing') is None


def test_buffer_takes_rows_of_any_keys():
    buffer = RowBuffer(SampleTable(), size=2)
    for row in ({'a': 1.0}, {'a': 2.0}, {'a': 3.0}, {'a': 4.0, 'b': 5.0}):
        buffer.append(row)
    buffer.flush()
    assert buffer.table.column('a').tolist() == [1, 2, 3, 4]
    assert buffer.table.number('b') == 1
