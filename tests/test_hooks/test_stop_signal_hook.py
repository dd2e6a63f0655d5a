import os
import signal

import pytest
from mmengine.hooks import Hook

from vrtspike.errors import ConfigError, TrainingStopped
from vrtspike.hooks import StopSignalHook
from vrtspike.runtime.checkpoint_files import load_checkpoint_file


class Send(Hook):
    """Sends this process a signal during an iteration."""

    def __init__(self, iteration, number):
        self.iteration, self.number = iteration, number

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), self.number)


CHECKPOINTS = {'default_hooks': {'checkpoint': {'type': 'SafeCheckpointHook', 'interval': 100}}}


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_ends_the_run(make_runner, tmp_path, number):
    before = signal.getsignal(number)
    runner = make_runner(9, hooks=[{'type': 'StopSignalHook'}, Send(2, number)], **CHECKPOINTS)
    with pytest.raises(TrainingStopped, match=rf'{number.name} stopped the training after iteration 3; saved as'):
        runner.train()
    assert load_checkpoint_file(tmp_path / 'run' / 'iter_3.pth')['meta']['iter'] == 3
    assert signal.getsignal(number) == before
    assert TrainingStopped.exit_status == 75


def test_a_run_without_signals_leaves_their_handlers(make_runner):
    before = signal.getsignal(signal.SIGTERM)
    make_runner(1, hooks=[{'type': 'StopSignalHook'}], **CHECKPOINTS).train()
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_unknown_signal_is_refused():
    with pytest.raises(ConfigError, match='no signal SIGTREM'):
        StopSignalHook(signals=['SIGTREM'])
