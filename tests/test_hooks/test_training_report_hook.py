import json
import math
from types import SimpleNamespace

import pytest
import torch

from vrtspike.hooks import TrainingReportHook, iteration_clock, training_report_hook
from vrtspike.hooks.training_report_hook import peak_memory_mib, report_text, scores, validation_table


def read_report(tmp_path):
    return json.loads((tmp_path / 'run' / 'report.json').read_text())


TIMES = [(0, 5), (6, 7), (7.25, 9.25), 'val', (100, 101.5), (102, 105)]


@pytest.fixture
def run_clock(monkeypatch):
    """Return a function that drives a hook through iterations from and to some seconds; 'val' is a validation."""

    def drive(hook, runner, times):
        hook.before_train(runner)
        for time in times:
            if time == 'val':
                hook.before_val_epoch(runner)
                continue
            start, end = time
            monkeypatch.setattr(iteration_clock, 'now', lambda moment=start: moment)
            hook.before_train_iter(runner, 0)
            monkeypatch.setattr(iteration_clock, 'now', lambda moment=end: moment)
            hook.after_train_iter(runner, 0)

    return drive


@pytest.mark.parametrize(
    ('warmup', 'iteration', 'data'), [(0, 2000, 500), (1, 1750, 500), (3, 2250, 500), (9, None, None)]
)
def test_medians(run_clock, make_runner, warmup, iteration, data):
    hook, runner = TrainingReportHook(warmup=warmup), make_runner(1)
    run_clock(hook, runner, TIMES)
    report = hook.report(runner)
    assert report['iteration_ms_median'] == iteration
    assert report['data_ms_median'] == data
    assert report['iterations_timed'] == max(5 - warmup, 0)


@pytest.fixture
def planted_times(monkeypatch):
    """Return a function that gives a runner known times: reading a clip takes 0.25 s, a forward pass 1 s."""
    seconds = [0.0]
    monkeypatch.setattr(iteration_clock, 'now', lambda: seconds[0])

    def taking(duration, function):
        def call(*args, **kwargs):
            seconds[0] += duration
            return function(*args, **kwargs)

        return call

    def plant(runner):
        clips = type(runner.train_dataloader.dataset)
        monkeypatch.setattr(clips, '__getitem__', taking(0.25, clips.__getitem__))
        runner.model.forward = taking(1.0, runner.model.forward)

    return plant


def test_a_run_is_reported_in_the_log_and_in_a_file(make_runner, planted_times, log_of, tmp_path):
    note = 'Installation check of 3 iterations: the quality says nothing yet.'
    runner = make_runner(3, hooks=[{'type': 'TrainingReportHook', 'note': note}])
    planted_times(runner)
    runner.train()
    report, log = read_report(tmp_path), log_of(runner)
    assert report['note'] == note
    assert (report['iterations'], report['iterations_timed'], report['parameters']) == (3, 2, 43)
    assert (report['iteration_ms_median'], report['data_ms_median']) == (1000, 500)  # a batch has two clips
    assert 50 < report['peak_memory_mib'] < 1e5
    assert report['validation']['iteration'] == 3
    assert [row['clip'] for row in report['validation']['clips']] == [f'street/{i}/0000' for i in range(3)]
    assert {'torch', 'vrtspike'} <= set(report['versions'])
    for text in (note, 'Held-out clips after 3 iterations', 'street/2/0000', 'mean', 'peak memory', 'report.json'):
        assert text in log


def test_the_mean_is_what_validation_logged(make_runner, tmp_path):
    runner = make_runner(1, hooks=[{'type': 'TrainingReportHook'}])
    runner.train()
    mean = read_report(tmp_path)['validation']['mean']
    logged = {key: runner.message_hub.get_scalar(f'val/{key}').current() for key in ('psnr', 'blur/psnr', 'tfp/psnr')}
    assert mean['psnr_db'] == pytest.approx(logged['psnr'])
    assert mean['tfp_psnr_db'] == pytest.approx(logged['tfp/psnr'])
    assert mean['gain_db'] == pytest.approx(logged['psnr'] - logged['blur/psnr'])


def test_a_run_without_validation_is_reported_too(make_runner, log_of, tmp_path):
    runner = make_runner(
        2, hooks=[{'type': 'TrainingReportHook'}], val_dataloader=None, val_evaluator=None, val_cfg=None
    )
    runner.train()
    assert read_report(tmp_path)['validation'] is None
    assert 'Held-out' not in log_of(runner)
    assert 'time per iteration' in log_of(runner)


def test_the_peak_memory_is_that_of_the_worst_iteration(monkeypatch, run_clock, make_runner):
    # The logger resets the GPU's peak whenever it logs.
    hook, peaks = TrainingReportHook(), iter([100.0, 300.0, 200.0])
    monkeypatch.setattr(training_report_hook, 'peak_memory_mib', lambda device: next(peaks))
    run_clock(hook, make_runner(1), [(0, 1), (1, 2), (2, 3)])
    assert hook.peak_memory_mib == 300.0


def test_memory_is_in_mib():
    with open('/proc/self/status') as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith('VmHWM'))
    assert peak_memory_mib(torch.device('cpu')) == pytest.approx(resident / 1024, rel=0.01)


def test_scores_are_named_with_units_and_have_no_infinities():
    found = scores({'psnr': 28.0, 'blur/psnr': 25.0, 'ssim': math.nan, 'clip': 'a', 'val/loss': 3.0})
    assert found == {'blur_psnr_db': 25.0, 'psnr_db': 28.0, 'gain_db': 3.0, 'ssim': None}


def make_validation(clips):
    row = {'psnr': 28.123, 'ssim': 0.91234, 'blur/psnr': 25.0, 'blur/ssim': 0.8}
    return {'iteration': 7, 'mean': scores(row), 'clips': [dict(clip=f'c{i}', **scores(row)) for i in range(clips)]}


def test_the_table_shows_gain_and_leaves_missing_playback_out():
    lines = [line.split() for line in validation_table(make_validation(2), 20).splitlines()]
    for name in ('c0', 'c1', 'mean'):
        assert [name, '25.00', '28.12', '+3.12', '0.8000', '0.9123', '-', '-'] in lines


def test_a_long_table_is_cut_and_says_so():
    text = validation_table(make_validation(30), 4)
    assert 'c3' in text
    assert 'c4' not in text
    assert 'and 26 more' in text


def test_the_text_of_a_run_that_measured_nothing():
    report = dict.fromkeys(['iteration_ms_median', 'data_ms_median', 'peak_memory_mib', 'validation'])
    text = report_text(dict(report, note='', iterations=0, iterations_timed=0, device={'name': 'cpu'}), 20)
    assert 'time per iteration    - (median of 0), data -' in text


def test_rows_come_from_any_metric_that_has_them():
    hook = TrainingReportHook()
    metrics = [SimpleNamespace(), SimpleNamespace(rows=[{'clip': 'a', 'frames': 2, 'psnr': 20.0}])]
    hook.after_val_epoch(SimpleNamespace(val_evaluator=SimpleNamespace(metrics=metrics), iter=4), {'psnr': 20.0})
    assert hook.validation == {
        'iteration': 4,
        'mean': {'psnr_db': 20.0},
        'clips': [{'clip': 'a', 'frames': 2, 'psnr_db': 20.0}],
    }
