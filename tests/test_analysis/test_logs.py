"""Several starts of a training in one folder."""

import numpy as np
import pytest

from vrtspike.analysis import build_report, read_logs
from vrtspike.analysis.logs import RunLog, Series, Start
from vrtspike.analysis.readers import reading


def scalars(first: int, last: int, level: float = 1.0) -> list[dict]:
    return [
        {'lr': 1e-4, 'data_time': 0.01, 'loss': level - i / 3000, 'time': 0.4, 'iter': i, 'step': i}
        for i in range(first, last + 1, 10)
    ]


def report_of(folder, made_up, *starts: list[dict]):
    for i, lines in enumerate(starts):
        made_up.write(folder / f'2024010{i}_000000/vis_data/scalars.json', lines)
    return build_report(read_logs([folder]))


def test_a_start_from_scratch_replaces_the_one_before(made_up, tmp_path):
    report = report_of(tmp_path, made_up, scalars(10, 990), scalars(10, 990, level=2.0))
    assert report.samples == 99
    assert report.convergence.trend == 'falling'
    assert report.curves['loss'].values[0] == pytest.approx(2 - 10 / 3000)
    assert any('started from scratch 2 times' in text and '20240100' in text for text in report.warnings)


def test_starts_are_counted_once_for_all_formats(made_up, tmp_path):
    lines = [made_up.run_line(), *made_up.sample_lines(20)]
    made_up.write(tmp_path / 'stage_costs.jsonl', [*lines, *lines])
    report = report_of(tmp_path, made_up, scalars(10, 990), scalars(10, 990))
    assert any('started from scratch 2 times' in text for text in report.warnings)


def test_a_resumed_start_continues_and_replaces_what_it_trained_again(made_up, tmp_path):
    report = report_of(tmp_path, made_up, scalars(10, 1230, level=5.0), scalars(1010, 2000))
    assert report.samples == 123 + 100
    assert report.curves['loss'].iterations == list(range(10, 2001, 10))
    assert report.curves['loss'].values[100] == pytest.approx(1 - 1010 / 3000)
    assert any('resumed at iteration 1010 after the one before had reached 1230' in text for text in report.warnings)


def test_curves_of_costs_show_the_later_start_too(made_up, tmp_path):
    samples = list(made_up.sample_lines(40))
    lines = [made_up.run_line(), *samples[:30], made_up.run_line(), *(line | {'loss': 7.0} for line in samples[20:])]
    report = build_report(read_logs([made_up.write(tmp_path / 'stage_costs.jsonl', lines)]))
    assert report.samples == 50
    assert report.curves['loss'].iterations[:20] == list(range(3, 23))
    assert set(report.curves['loss'].values[21:]) == {7.0}


def test_the_interval_may_change_between_starts(made_up, tmp_path):
    report = report_of(tmp_path, made_up, scalars(10, 100), scalars(50, 1000)[::5])
    assert report.samples == 20
    assert any('started from scratch 2 times' in text for text in report.warnings)


def test_two_starts_in_one_file(made_up, tmp_path):
    report = report_of(tmp_path, made_up, [*scalars(10, 990), *scalars(10, 500)])
    assert report.samples == 50
    assert any('started from scratch 2 times' in text for text in report.warnings)


def test_an_interrupted_start_with_another_batch_is_left_out(made_up, tmp_path, monkeypatch):
    lines = [made_up.run_line(), *made_up.sample_lines(30)]
    again = [made_up.run_line(), *(line | {'clips': 7} for line in made_up.sample_lines(20))]
    path = made_up.write(tmp_path / 'stage_costs.jsonl', [*lines, *again])
    for chunk_bytes in (1 << 27, path.stat().st_size // 3):
        monkeypatch.setattr(reading, 'CHUNK_BYTES', chunk_bytes)
        report = build_report(read_logs([path]))
        assert (report.samples, report.batch.clips) == (20, 7)
        assert any('iterations 3 to 32' in text for text in report.warnings)


def test_a_resumed_run_with_another_batch_says_so(made_up, tmp_path):
    samples = list(made_up.sample_lines(40))
    again = [made_up.run_line(), *(line | {'clips': 7} for line in samples[20:])]
    path = made_up.write(tmp_path / 'stage_costs.jsonl', [made_up.run_line(), *samples[:20], *again])
    report = build_report(read_logs([path]))
    assert report.samples == 40
    assert any('differ in their clips per iteration (2 and 7)' in text for text in report.warnings)


def test_two_trainings_that_write_to_one_file(made_up, tmp_path):
    lines = [line for line in made_up.sample_lines(20) for _ in range(2)]
    path = made_up.write(tmp_path / 'stage_costs.jsonl', [made_up.run_line(), made_up.run_line(), *lines])
    warnings = build_report(read_logs([path])).warnings
    assert any('in 20 records the iteration repeats or goes back. Two trainings' in text for text in warnings)


def test_files_of_ranks_that_an_earlier_start_had(made_up, make_run):
    folder = make_run('run', samples=20)
    lines = [made_up.run_line(rank=1, world_size=2), *made_up.sample_lines(20, rank=1)]
    made_up.write(folder / 'stage_costs_rank1.jsonl', lines)
    assert list(read_logs([folder]).ranks()) == [0]


@pytest.mark.parametrize(
    ('start', 'expected'),
    [
        (Start(first=10, gap=10), True),
        (Start(first=1010, gap=10), False),
        (Start(first=5), True),
        (Start(first=None), False),
    ],
)
def test_from_scratch(start, expected):
    assert start.is_from_scratch(Start(first=10, last=100)) is expected


def test_series_of_two_starts():
    first, second = Series(), Series()
    for i, value in enumerate([1.0, 9.0, np.nan, 2.0, 3.0]):
        first.append(i, value)
    second.append(3, 5.0)
    first.cut(1)
    assert first.points()[0].tolist() == [0]
    assert first.summary.highest == (0, 1.0)
    first.extend(second)
    assert (first.summary.last, first.summary.highest, first.summary.lowest) == ((3, 5.0), (3, 5.0), (0, 1.0))
    assert (first.summary.not_finite, first.summary.first_not_finite) == (1, 2)


def test_a_log_without_records_has_no_costs():
    assert RunLog('a').cost_format is None
