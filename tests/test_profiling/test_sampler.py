import math

import pytest
import torch
from torch import nn

from vrtspike.profiling import stage
from vrtspike.profiling.sampler import StageSampler


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x):
        with stage('first') as s:
            x = s.leave(self.first(s.enter(x)))
        with stage('second') as s:
            return s.leave(self.second(s.enter(x))).mean()


def iterate(sampler, model, iteration, loss=None):
    sampler.start()
    x = torch.ones(2, 4)
    sampler.batch_arrived()
    out = model(x)
    out.backward()
    sampler.backward_over()
    sampler.optimizer_over()
    sampler.stop(out if loss is None else loss, iteration=iteration, clips=2, frames=2)


def test_a_sample_holds_all_of_the_iteration():
    model = Net()
    with StageSampler(model) as sampler:
        assert not sampler.sampling
        iterate(sampler, model, 7)
        (sample,) = sampler.finished()
    assert (sample.iteration, sample.clips, sample.frames, sample.rank) == (7, 2, 2, 0)
    assert sum(sample.times.values()) == pytest.approx(sample.iteration_ms, abs=1e-9)
    assert set(sample.stages()) == {'data', 'first', 'second', 'optimizer', 'other'}
    assert set(sample.stages()['first']) == {'forward', 'backward'}  # its input needs no gradient
    assert sample.loss == model(torch.ones(2, 4)).item()
    assert sample.memory_mib > 10
    assert sample.peak_mib == sample.allocated_mib == {}


@pytest.mark.parametrize('loss', [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_none(loss):
    model = Net()
    with StageSampler(model) as sampler:
        iterate(sampler, model, 1, torch.tensor(loss))
        assert next(sampler.finished()).loss is None


def test_samples_come_when_the_device_is_done_and_in_order(monkeypatch):
    model = Net()
    with StageSampler(model) as sampler:
        done = False
        monkeypatch.setattr(sampler.timer.clock, 'passed', lambda stamp: done)
        for i in range(3):
            iterate(sampler, model, i)
            assert list(sampler.finished()) == []
        done = True
        assert [sample.iteration for sample in sampler.wait()] == [0, 1, 2]


def test_nothing_is_left_behind():
    model = Net()
    with StageSampler(model) as sampler:
        sampler.start()
        sampler.abandon()
        assert not sampler.sampling
        sampler.batch_arrived()
        sampler.backward_over()
        model(torch.ones(2, 4)).backward()
        assert list(sampler.wait()) == []
    assert 'Exit' not in type(model(torch.ones(2, 4)).grad_fn).__name__
    assert all(not p._post_accumulate_grad_hooks for p in model.parameters())


def test_what_follows_the_backward_pass_can_be_communication():
    model = Net()
    with StageSampler(model, after_backward='communication') as sampler:
        iterate(sampler, model, 1)
        (sample,) = sampler.finished()
    assert list(sample.stages()['communication']) == ['backward']
