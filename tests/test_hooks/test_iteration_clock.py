"""One clock for all hooks of a training."""

import json

import pytest

from vrtspike.hooks import iteration_clock as module
from vrtspike.hooks.iteration_clock import IterationClock, iteration_clock


@pytest.fixture
def at(monkeypatch):
    """Return a function that sets the time in seconds."""
    return lambda seconds: monkeypatch.setattr(module, 'now', lambda: seconds)


def run(clock, at, times):
    """Drive a clock through iterations and validations, each (start, end), with 'val' before validations."""
    for what, start, end in times:
        at(start)
        clock.begin_validation() if what == 'val' else clock.begin_iteration()
        at(end)
        clock.end_validation() if what == 'val' else clock.end_iteration()


TIMES = [
    ('iter', 0, 5),
    ('iter', 6, 7),
    ('iter', 7.25, 9.25),
    ('val', 10, 90),
    ('iter', 100, 101.5),
    ('iter', 102, 105),
]


def test_times_exclude_data_and_validation(at):
    clock = IterationClock()
    run(clock, at, TIMES)
    assert clock.iteration_ms == [5000, 1000, 2000, 1500, 3000]
    assert clock.data_ms == [1000, 250, 500]
    assert clock.validations_s == [80]
    assert clock.iterations == 5


def test_the_pace_leaves_out_warm_up_and_validations(at):
    clock = IterationClock()
    assert clock.seconds_per_iteration(1) is None
    run(clock, at, TIMES)
    assert clock.seconds_per_iteration(1) == (105 - 80 - 5) / 4
    assert clock.seconds_per_iteration(0) == clock.seconds_per_iteration(1)
    assert clock.seconds_per_iteration(4) == 105 - 101.5
    assert clock.seconds_per_iteration(5) is None


def test_an_iteration_is_what_the_first_hook_reports_and_a_validation_ends_with_the_last(at):
    clock = IterationClock()
    for seconds, event in (
        (1, clock.begin_iteration),
        (2, clock.begin_iteration),
        (3, clock.end_iteration),
        (4, clock.end_iteration),
        (5, clock.begin_validation),
        (6, clock.begin_validation),
        (7, clock.end_validation),
        (8, clock.end_validation),
    ):
        at(seconds)
        event()
    assert clock.iteration_ms == [2000]
    assert clock.validations_s == [3]


def test_report_progress_and_stage_costs_read_one_clock(make_runner, monkeypatch, tmp_path):
    """The host's time advances by one second at every reading, so that a second measurement would show."""
    readings = iter(range(1000))
    monkeypatch.setattr(module, 'now', lambda: float(next(readings)))
    hooks = [
        {'type': 'TrainingReportHook'},
        {'type': 'ProgressHook', 'warmup': 1},
        {'type': 'StageCostHook', 'warmup': 1, 'interval': 2, 'roofline': False},
    ]
    runner = make_runner(4, hooks=hooks)
    runner.train()
    clock = iteration_clock(runner)
    assert clock.iteration_ms == [1000.0] * 4
    report = json.loads((tmp_path / 'run/report.json').read_text())
    assert (report['iteration_ms_median'], report['data_ms_median']) == (1000.0, 1000.0)
    assert runner.message_hub.get_scalar('train/eta_s').data[0].tolist() == [4.0, 2.0, 0.0]
    records = [json.loads(line) for line in (tmp_path / 'run/stage_costs.jsonl').read_text().splitlines()]
    assert [record['iteration'] for record in records[1:]] == [2, 4]


def test_another_training_begins_anew(make_runner):
    runner = make_runner(2, hooks=[{'type': 'ProgressHook'}])
    runner.train()
    clock = iteration_clock(runner)
    assert clock.iterations == 2
    clock.start()
    assert (clock.iterations, clock.data_ms, clock.validations_s) == (0, [], [])
