import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from vrtspike.analysis import build_report, compare, read_logs
from vrtspike.reporting.palette import ALERT, INK
from vrtspike.reporting.panels.iteration_times import PANEL, draw, sentence
from vrtspike.reporting.panels.panel import Run


@pytest.fixture
def report_of(made_up, tmp_path):
    """Reports a run whose iterations take these times."""

    def make(times, name='run'):
        lines = [
            dict(kind='sample', iteration=i, rank=0, iteration_ms=float(ms), clips=1, frames=5)
            | {'stages': {'all': {'forward_ms': float(ms)}}}
            for i, ms in enumerate(times, start=1)
        ]
        path = made_up.write(tmp_path / name / 'stage_costs.jsonl', [made_up.run_line(costs={}, rates=None), *lines])
        return read_logs([path])

    return make


def drawn(report):
    body = Figure()
    keys = draw(body, [Run(report, INK, stages={})])
    return body, body.axes[0], [key.get_label() for key in keys]


@pytest.mark.parametrize('iterations', [12, 600, 60_000])
def test_times_are_drawn_linearly_whatever_the_number(iterations, report_of):
    times = 100 + np.arange(iterations) % 7
    times[iterations // 2] = 900  # nine times the median: far outside
    report = build_report(report_of(times))
    body, ax, keys = drawn(report)
    assert ax.get_yscale() == 'linear'
    low, high = ax.get_ylim()
    assert 80 < low < 95
    assert 106 < high < 120
    (marks,) = (line for line in ax.lines if to_hex(line.get_color()) == ALERT.lower())
    assert (marks.get_xdata() == [iterations // 2 + 1]).all()
    assert (marks.get_ydata() == [high]).all()
    assert keys[-1] == 'outlier'
    body.draw_without_rendering()
    (labels,) = (artist for artist in ax.artists if hasattr(artist, 'names'))
    assert [text.get_text() for text in labels.texts] == ['900.0 ms']


def test_slow_iterations_that_are_not_few_stay_inside(report_of):
    """An optimizer that steps every fourth iteration."""
    report = build_report(report_of(np.where(np.arange(100) % 4, 100.0, 500.0)))
    _, ax, keys = drawn(report)
    assert ax.get_ylim()[1] > 500
    assert 'outlier' not in keys


def test_few_times_are_joined(report_of):
    _, ax, keys = drawn(build_report(report_of([100, 101, 99])))
    assert keys == ['each sample']
    assert ax.lines[0].get_marker() == 'o'


def test_small_noise_looks_small(report_of):
    _, ax, _ = drawn(build_report(report_of(100 + np.arange(50) % 2 / 10)))
    low, high = ax.get_ylim()
    assert high - low > 20


def test_a_single_iteration(report_of):
    report = build_report(report_of([100]))
    assert sentence(report) == 'One iteration took 100.0 ms.'
    drawn(report)


def test_few_iterations_have_no_percentiles(report_of):
    assert sentence(build_report(report_of([100, 104, 98]))) == '3 samples take 98.00 to 104.0 ms, median 100.0.'


def test_outliers_are_counted(report_of):
    times = [100.0 + i % 2 for i in range(200)]
    times[50], times[120] = 300.0, 250.0
    text = sentence(build_report(report_of(times)))
    assert text == (
        'Nine of ten take 100.0 to 101.0 ms, median 101.0; 2 outliers above 111.1 ms, '
        'the slowest 300.0 ms (iteration 51).'
    )


def test_a_drift_is_named(report_of):
    times = [100.0 + i % 3 for i in range(100)] + [120.0 + i % 3 for i in range(100)]
    assert sentence(build_report(report_of(times))).endswith('; the second half takes 1.20 times the first.')


def test_compared(report_of):
    logs = [report_of([ms + i % 3 for i in range(100)], str(ms)) for ms in (99, 49)]
    text = PANEL.compared(compare(*logs), *map(build_report, logs))
    assert text == '100.0 and 50.00 ms (median): the second takes 0.50 times as long (95 %: 0.50 to 0.50).'
    text = PANEL.compared(compare(logs[0], logs[0]), *[build_report(logs[0])] * 2)
    assert text.endswith('the second takes 1.00 times as long (95 %: 1.00 to 1.00), which is noise.')
