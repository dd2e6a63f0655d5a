"""What only observes a training never ends it, and says once what is missing."""

import errno
import logging
from pathlib import Path

import pytest

from vrtspike.hooks import flops_hook, stage_cost_hook
from vrtspike.hooks.observing import ObservingHook, guard_log_files

FULL = OSError(errno.ENOSPC, 'No space left on device')


class Failing(ObservingHook):
    gives = 'its table'

    def __init__(self, error, event='after_train_iter'):
        self.error, self.calls, self.closed = error, 0, False
        setattr(self, f'_{event}', True)

    def before_train(self, runner):
        self._call('before_train')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._call('after_train_iter')

    def close(self):
        self.closed = True

    def _call(self, event):
        if hasattr(self, f'_{event}'):
            self.calls += 1
            raise self.error


@pytest.mark.parametrize(
    ('error', 'event', 'calls'),
    [
        (FULL, 'after_train_iter', 3),  # tried again: the disk may have space again
        (KeyError('stage9'), 'after_train_iter', 1),
        (FULL, 'before_train', 1),  # what was not prepared cannot go on
    ],
)
def test_an_error_is_one_warning_and_the_training_continues(make_runner, log_of, error, event, calls):
    hook = Failing(error, event)
    runner = make_runner(3, hooks=[hook])
    runner.train()
    assert runner.iter == 3
    assert (hook.calls, hook.closed) == (calls, calls == 1)
    (line,) = [line for line in log_of(runner).splitlines() if 'Failing failed' in line]
    assert f'({type(error).__name__}: ' in line
    assert line.endswith('this run lacks its table. The training continues.')


ALL = [
    'ChunkReportHook',
    'ClipPicturesHook',
    'FlopsHook',
    'NetworkSummaryHook',
    'RunRecordHook',
    'TrainingReportHook',
    'ProgressHook',
    'StageCostHook',
]


def test_a_disk_that_fills_up_costs_no_training(make_runner, log_of, monkeypatch):
    """Every file that an observing hook opens fails; none of the hooks ends the run."""
    original = Path.open

    def full(self, mode='r', *args, **kwargs):
        if set(mode) & set('wax') and 'run' in self.parts:
            raise FULL
        return original(self, mode, *args, **kwargs)

    runner = make_runner(3, hooks=[{'type': name} for name in ALL])
    monkeypatch.setattr(Path, 'open', full)
    runner.train()
    log = log_of(runner)
    assert runner.iter == 3
    for name in ('RunRecordHook', 'StageCostHook', 'TrainingReportHook', 'ClipPicturesHook'):
        assert log.count(f'{name} failed (OSError') == 1, name


def test_counting_that_fails_leaves_the_times(make_runner, log_of, monkeypatch):
    def fail(*args, **kwargs):
        raise NotImplementedError('an operator without a meta kernel')

    monkeypatch.setattr(flops_hook, 'count_clip', fail)
    monkeypatch.setattr(stage_cost_hook, 'device_rates', fail)
    hooks = [{'type': 'FlopsHook'}, {'type': 'StageCostHook', 'interval': 1, 'warmup': 1}]
    runner = make_runner(4, hooks=hooks)
    runner.train()
    log = log_of(runner)
    assert log.count('lacks counted multiply-accumulates') == 1
    assert log.count('lacks the comparison with the roofline') == 1
    (stage_costs,) = (hook for hook in runner.hooks if type(hook).__name__ == 'StageCostHook')
    assert len(stage_costs.summary.samples) == 3
    assert stage_costs.run_record.costs is None
    assert stage_costs.run_record.rates is None


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='writes to /dev/full')
def test_a_log_file_that_cannot_be_written_is_told_once(capsys):
    logger = logging.Logger('full')
    logger.addHandler(logging.FileHandler('/dev/full'))
    guard_log_files(logger)
    logger.warning('one')
    logger.warning('two')
    told = capsys.readouterr().err
    assert told.count('/dev/full cannot be written: [Errno 28] No space left on device') == 1
    assert 'Traceback' not in told
