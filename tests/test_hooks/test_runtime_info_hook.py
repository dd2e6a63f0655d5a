import torch
from mmengine.hooks import Hook

from vrtspike.hooks import RuntimeInfoHook, runtime_info_hook


class Look(Hook):
    """Remembers after every iteration how many losses the log has."""

    priority = 'LOWEST'

    def __init__(self):
        self.counts = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        scalars = runner.message_hub.log_scalars
        self.counts.append(len(scalars['train/loss'].data[0]) if 'train/loss' in scalars else 0)


def train(make_runner, iters, interval):
    look = Look()
    logger = {'type': 'LoggerHook', 'interval': interval}
    runner = make_runner(iters, hooks=[look], default_hooks={'logger': logger})
    runner.train()
    assert sum(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks) == 1
    return look.counts, runner.message_hub.log_scalars['train/loss'].data[0].tolist()


def test_on_the_host_every_loss_is_logged_at_once(make_runner):
    assert train(make_runner, 4, interval=10)[0] == [1, 2, 3, 4]


def test_losses_that_are_late_are_read_where_they_are_logged_and_at_the_end(make_runner, monkeypatch):
    torch.manual_seed(0)
    _, expected = train(make_runner, 5, interval=2)
    monkeypatch.setattr(runtime_info_hook.Readback, 'ready', lambda self: False)
    torch.manual_seed(0)
    counts, losses = train(make_runner, 5, interval=2)
    assert counts == [0, 2, 2, 4, 5]
    assert len(losses) == len(expected) == 5
