import errno
import os

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from vrtspike.engine.training_errors import explain, explained_errors
from vrtspike.errors import ConfigError, DataError, TrainingError
from vrtspike.registry import HOOKS


def explained(error):
    with pytest.raises(Exception) as caught, explained_errors('runs/a'):  # noqa: PT011 - which one is the question
        raise error
    return caught.value


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(number):
    error = explained(OSError(number, os.strerror(number), 'runs/a/scalars.json'))
    assert isinstance(error, TrainingError)
    assert str(error).startswith('the disk is full: runs/a/scalars.json could not be written')
    assert 'the disk is full: runs/a could' in str(explained(OSError(number, os.strerror(number))))


def test_a_lost_process():
    error = explained(RuntimeError('[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1'))
    assert 'another process of this training has ended' in str(error)


@pytest.mark.parametrize(
    'error', [PermissionError(errno.EACCES, 'no'), RuntimeError('shapes differ'), DataError('bad'), KeyError('x')]
)
def test_other_errors_pass(error):
    assert explained(error) is error


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (
            lambda: HOOKS.build(dict(type='LoggerHook', interval=0)),
            'LoggerHook cannot be built from the config: interval',
        ),
        (
            lambda: HOOKS.build(dict(type='SafeCheckpointHook', save_best='own')),
            'SafeCheckpointHook .*Cannot infer the rule',
        ),
        (lambda: build_optim_wrapper(torch.nn.Linear(1, 1), GPU_ONLY), 'AmpOptimWrapper cannot be built'),
        (lambda: Runner.build_dataloader(LOADER), 'a data loader cannot be built from the config: .*num_workers'),
    ],
)
def test_what_a_constructor_refuses_is_a_mistake_in_the_config(monkeypatch, build, message):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: False)
    with pytest.raises(ConfigError, match=message), explained_errors('runs/a'):
        build()


GPU_ONLY = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=1.0))
LOADER = dict(dataset=[1, 2], batch_size=1, sampler=dict(type='DefaultSampler'), num_workers=0, persistent_workers=True)


class Dies(torch.utils.data.Dataset):
    """A data set whose worker dies, or fails as user code does, at the second sample."""

    def __init__(self, error=None):
        self.error = error

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 1 and self.error:
            raise self.error
        if index == 1:
            os._exit(9)
        return index


def read(dataset):
    with explained_errors('runs/a'):
        list(DataLoader(dataset, batch_size=1, num_workers=1))


def test_a_dead_worker():
    with pytest.raises(TrainingError, match=r'a process that reads data died \(DataLoader worker.*num_workers'):
        read(Dies())


def test_a_dead_worker_reported_amid_a_line_that_replaces_any_error():
    error = SyntaxError('failed to format the config')
    error.__context__ = RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')
    assert explain(error, 'runs/a').startswith('a process that reads data died (DataLoader worker (pid 7) is killed')


def test_an_error_inside_a_worker_is_its_own():
    with pytest.raises(DataError, match='bad clip'):
        read(Dies(DataError('bad clip')))
