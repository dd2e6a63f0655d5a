import math

import pytest
import torch
from torch import nn

from vrtspike.profiling import stage
from vrtspike.profiling.host_bound import Issue
from vrtspike.profiling.sampler import StageSampler, is_due
from vrtspike.records.writer import sample_line


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


class Lockstep:
    """A device that never has anything queued: it comes to every mark when the host issues it, 1 ms after the last."""

    def __init__(self):
        self.ms = 0

    def stamp(self):
        self.ms += 1
        return Issue(self.ms, True)

    def passed(self, stamp):
        return True

    def elapsed_ms(self, start, end):
        return end.ms - start.ms

    def issue(self, stamp):
        return stamp


def test_a_device_that_waits_for_the_host_is_host_bound_throughout():
    model = Net()
    with StageSampler(model) as sampler:
        sampler.timer.clock = Lockstep()
        iterate(sampler, model, 1)
        (sample,) = sampler.finished()
    assert sample.host_bound_ms == {name: sum(phases.values()) for name, phases in sample.stages().items()}
    line = sample_line(sample)
    assert line.stages['first'].host_bound_ms == line.stages['first'].forward_ms + line.stages['first'].backward_ms > 0


def test_the_first_samples_are_traced_and_abandoned_ones_do_not_count():
    model = Net()
    with StageSampler(model, trace=2) as sampler:
        sampler.start()
        sampler.abandon()
        for i in range(3):
            iterate(sampler, model, i)
        first, second, third = sampler.finished()
    for sample in (first, second):
        assert sum(span.ms for span in sample.spans) == pytest.approx(sample.iteration_ms)
        assert all(span.memory_mib > 10 for span in sample.spans)
        assert all(span.host_bound_ms is None for span in sample.spans)  # the host does the work itself
    assert first.began_us > 0
    assert third.spans == []


def test_every_fourth_iteration_after_the_warmup_is_due():
    assert [iterations for iterations in range(12) if is_due(iterations, warmup=2, interval=4)] == [2, 6, 10]
