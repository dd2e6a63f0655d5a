import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.hooks import Hook

from vrtspike.hooks import ProgressHook, iteration_clock
from vrtspike.hooks.progress_hook import duration, validations_left


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Costs(Hook):
    """Makes iterations, the first ones slow, and validations take their time."""

    priority = 'VERY_HIGH'

    def __init__(self, clock, warmup_s, iteration_s, validation_s):
        self.clock, self.costs = clock, (warmup_s, iteration_s, validation_s)
        self.ended = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.clock.now += self.costs[0] if len(self.ended) < 2 else self.costs[1] * (0.9, 1.1)[runner.iter % 2]
        self.ended[runner.iter + 1] = self.clock.now

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.clock.now += self.costs[2]


def test_the_time_left_is_right_within_five_percent_after_the_warm_up(make_runner, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(iteration_clock, 'now', clock)
    costs = Costs(clock, 60, 2, 15)
    hooks = [costs, ProgressHook(warmup=2)]
    loop = {'type': 'IterBasedTrainLoop', 'max_iters': 23, 'val_interval': 5}
    runner = make_runner(hooks=hooks, train_cfg=loop)
    runner.train()
    history, _ = runner.message_hub.get_scalar('train/eta_s').data
    assert len(history) == 21
    # Before the first validation nobody knows what one costs.
    for iteration, left in zip(range(3, 24), history, strict=True):
        if iteration > 5:
            assert left == pytest.approx(clock.now - costs.ended[iteration], rel=0.05, abs=0.3), iteration
    scalars = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    assert any('eta_s' in json.loads(line) for line in next(scalars).read_text().splitlines())


@given(st.integers(1, 60), st.integers(1, 20))
def test_validations_to_come_are_those_of_the_loop(last, interval):
    held = [n for n in range(1, last + 1) if n % interval == 0 or n == last]
    for i in range(last):
        loop = type('Loop', (), {'val_interval': interval})
        runner = type('Runner', (), {'val_loop': True, 'train_loop': loop, 'max_iters': last, 'iter': i})
        assert validations_left(runner) == sum(n >= i + 1 for n in held)


def test_nothing_is_drawn_off_a_terminal(make_runner, capsys):
    make_runner(1, hooks=[{'type': 'ProgressHook'}]).train()
    assert '\x1b' not in capsys.readouterr().out


@pytest.mark.parametrize(('seconds', 'text'), [(0.2, '0 s'), (59.6, '1 min'), (3600, '1 h'), (90061, '1 d 1 h')])
def test_durations_as_people_say_them(seconds, text):
    assert duration(seconds) == text
