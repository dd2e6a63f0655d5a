"""The timer with a clock that ticks at every stamp, with known durations, and with an asynchronous device."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from vrtspike.profiling import listening, part, stage
from vrtspike.profiling import timer as timer_module
from vrtspike.profiling.timer import CudaClock, HostClock, StageTimer, Timeline
from vrtspike.records.stage_costs import PHASES, Owner


class Ticks:
    """A clock that is 1 ms later at every look."""

    def __init__(self):
        self.now = 0

    def stamp(self):
        self.now += 1
        return self.now

    def passed(self, stamp):
        return True

    def elapsed_ms(self, start, end):
        return end - start


class Work(torch.autograd.Function):
    """The identity that takes known times forward and backward."""

    @staticmethod
    def forward(ctx, x, spend, name):
        ctx.spend, ctx.name = spend, name
        spend(name, 'forward')
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        ctx.spend(ctx.name, 'backward')
        return grad, None, None


def timed(step, clock=None):
    """Return the timeline of ``step(timer)``."""
    timer = StageTimer(clock or Ticks())
    with listening(timer):
        timer.start('data')
        step(timer)
        return timer.stop()


def two_stages(x, spend=lambda name, phase: None):
    with stage('first') as s:
        x = s.leave(Work.apply(s.enter(x), spend, 'first'))
    with stage('second') as s:
        return s.leave(Work.apply(s.enter(x), spend, 'second'))


def test_exact_times_with_a_patched_clock():
    def step(timer):
        timer.rebase('other')
        loss = two_stages(torch.ones(2, requires_grad=True)).sum()
        loss.backward()
        timer.rebase('optimizer')

    timeline = timed(step)
    # Stamps: start 1, batch 2, first 3-4, second 5-6, backward of second 7-8, of first 9-10, optimizer 11, end 12.
    assert timeline.times() == {
        Owner('data'): 1,
        Owner('other'): 3,  # before, between and after the stages; the loss is nobody's here
        Owner('first'): 1,
        Owner('second'): 1,
        Owner('second', None, 'backward'): 1,
        Owner('other', None, 'backward'): 2,
        Owner('first', None, 'backward'): 1,
        Owner('optimizer'): 1,
    }
    assert timeline.total_ms() == 11


def test_a_stage_whose_input_needs_no_gradient_ends_at_its_last_parameter():
    weights = [torch.ones(2, requires_grad=True) for _ in range(2)]
    clock = Ticks()

    def step(timer):
        for weight in weights:
            weight.register_post_accumulate_grad_hook(timer.gradient_accumulated)
        with stage('encoder') as s:
            x = s.enter(torch.ones(2))
            for weight in weights:
                x = x * weight
            x = s.leave(x)
        x.sum().backward()
        clock.now += 100  # what happens after the last gradient
        timer.rebase('optimizer', 'communication')

    times = timed(step, clock).times()
    assert times[Owner('encoder', None, 'backward')] == 2  # from its beginning over one gradient to the other
    assert times[Owner('communication', None, 'backward')] == 101
    assert Owner('other', None, 'backward') not in times


def test_frozen_parameters_leave_the_end_to_the_next_stage():
    def step(timer):
        with stage('frozen') as s:
            s.enter(torch.ones(2))
        two_stages(torch.ones(2, requires_grad=True)).sum().backward()

    assert Owner('frozen', None, 'backward') not in timed(step).times()


def test_a_forward_inside_backward_is_recomputation():
    def branch(x):
        with part('attention') as p:
            return p.leave(p.enter(x).exp())

    def step(timer):
        with stage('body') as s:
            x = s.enter(torch.ones(2, requires_grad=True))
            x = s.leave(checkpoint(branch, x, use_reentrant=False))
        x.sum().backward()
        timer.rebase('optimizer')

    times = timed(step).times()
    phases = {owner.phase for owner in times if owner[:2] == ('body', '/attention')}
    assert phases == set(PHASES)
    assert times[Owner('body', '/attention', 'recompute')] == 1
    assert times[Owner('body', '/attention', 'forward')] == 1


def test_parts_belong_to_the_stage_that_is_open():
    def step(timer):
        x = torch.ones(2, requires_grad=True)
        for name in ('one', 'two'):
            with stage(name) as s, part('mlp') as p:
                x = s.leave(p.leave(p.enter(s.enter(x)) * 2))
        x.sum().backward()

    times = timed(step).times()
    for name in ('one', 'two'):
        assert times[Owner(name, '/mlp', 'forward')] == 1
        assert times[Owner(name, '/mlp', 'backward')] == 1


def test_a_stage_with_two_inputs_ends_with_the_later_gradient():
    x, y = (torch.ones(2, requires_grad=True) for _ in range(2))

    def step(timer):
        with stage('fuse') as s:
            b = s.enter(y)
            b = Work.apply(b, lambda *_: timer._mark(), 'late')  # runs after the gradient of x has arrived
            out = s.leave(s.enter(x) + b)
        out.sum().backward()

    times = timed(step).times()
    assert times[Owner('fuse', None, 'backward')] == 2


@given(st.lists(st.sampled_from(['data', 'stage', 'part', 'backward', 'optimizer']), max_size=20))
def test_times_sum_to_the_total_whatever_happens(events):
    def step(timer):
        for event in events:
            if event in ('data', 'optimizer'):
                timer.rebase(event, 'communication')
            elif event == 'backward':
                two_stages(torch.ones(1, requires_grad=True)).sum().backward()
            else:
                (timer.forward_begins if len(timer._forward) < 3 else timer.forward_ends)(
                    '/p' if event == 'part' else 's'
                )

    timeline = timed(step)
    assert sum(timeline.times().values()) == timeline.total_ms() == len(timeline.marks)


def test_marks_between_iterations_are_ignored():
    timer = StageTimer(Ticks())
    with listening(timer):
        two_stages(torch.ones(1, requires_grad=True)).sum().backward()
        timer.rebase('other')
        timer.gradient_accumulated()
    assert timer.marks is None


class FakeTime:
    """The host's time, which passes only when work is done."""

    def __init__(self, monkeypatch):
        self.ns = 0
        monkeypatch.setattr(timer_module, 'time', SimpleNamespace(perf_counter_ns=lambda: self.ns))

    def work(self, ms):
        self.ns += round(ms * 1e6)


@pytest.fixture
def host(monkeypatch):
    return FakeTime(monkeypatch)


MS = {
    ('first', 'forward'): 70,
    ('second', 'forward'): 40,
    ('first', 'backward'): 50,
    ('second', 'backward'): 90,
}


def test_known_durations_are_found_forward_and_backward(host):
    def step(timer):
        two_stages(torch.ones(2, requires_grad=True), lambda *key: host.work(MS[key])).sum().backward()
        timer.rebase('optimizer')
        host.work(7)

    times = timed(step, HostClock()).times()
    assert {key: times[Owner(key[0], None, key[1])] for key in MS} == MS
    assert times[Owner('optimizer')] == 7


def test_known_recomputation_is_told_from_backward(host):
    seconds = {'forward': iter([100, 30]), 'backward': iter([200])}

    def branch(x):
        with part('attention') as p:
            return p.leave(Work.apply(p.enter(x).exp(), lambda name, phase: host.work(next(seconds[phase])), '').exp())

    def step(timer):
        with stage('body') as s:
            x = s.enter(torch.zeros(2, requires_grad=True))
            x = s.leave(checkpoint(branch, x, use_reentrant=False))
        x.sum().backward()
        timer.rebase('optimizer')

    times = timed(step, HostClock()).times()
    assert [times[Owner('body', '/attention', phase)] for phase in PHASES] == [100, 30, 200]


class Device:
    """Does its work after the host has queued it, as a GPU does, and is the clock of that work."""

    def __init__(self):
        self.queue = []
        self.ms = 0

    def work(self, ms):
        self.queue.append(lambda: setattr(self, 'ms', self.ms + ms))

    def finish(self):
        while self.queue:
            self.queue.pop(0)()

    def stamp(self):
        moment = []
        self.queue.append(lambda: moment.append(self.ms))
        return moment

    def passed(self, stamp):
        return bool(stamp)

    def elapsed_ms(self, start, end):
        return end[0] - start[0]


def test_the_host_clock_is_wrong_where_work_is_queued_and_the_devices_clock_is_not(host):
    device = Device()
    on_device, on_host = StageTimer(device), StageTimer(HostClock())

    def launch(*key):
        host.work(1)
        device.work(MS[key])

    with listening(on_device), listening(on_host):
        for timer in (on_device, on_host):
            timer.start('data')
        two_stages(torch.ones(2, requires_grad=True), launch).sum().backward()
        for timer in (on_device, on_host):
            timer.rebase('optimizer')
        timelines = [timer.stop() for timer in (on_device, on_host)]
    assert not timelines[0].complete()  # nobody has waited for the device
    device.finish()
    assert timelines[0].complete()
    ours, hosts = ({key: each.times()[Owner(key[0], None, key[1])] for key in MS} for each in timelines)
    assert ours == MS
    assert set(hosts.values()) == {1}  # the host only launched the work


def test_a_timeline_is_read_in_order_of_its_marks():
    timeline = Timeline(Ticks(), [(1, Owner('b')), (4, Owner('a')), (5, Owner('b'))], end=9)
    assert list(timeline.times().items()) == [(Owner('b'), 7), (Owner('a'), 1)]


def test_events_are_recorded_in_the_stream_of_the_timed_device(monkeypatch):
    recorded = []
    streams = {torch.device('cuda', i): SimpleNamespace(query=lambda: True) for i in range(2)}
    monkeypatch.setattr(torch.cuda, 'current_stream', streams.get)
    monkeypatch.setattr(torch.cuda, 'Event', lambda enable_timing: SimpleNamespace(record=recorded.append))
    timer_module.clock_of(torch.device('cuda', 1)).stamp()
    assert recorded == [streams[torch.device('cuda', 1)]]


@pytest.mark.gpu
def test_kernels_of_known_duration_on_a_gpu():
    def cycles_per_ms():
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        torch.cuda._sleep(10**8)
        end.record()
        torch.cuda.synchronize()
        return 10**8 / begin.elapsed_time(end)

    cycles_per_ms()  # brings the clock up
    rate = cycles_per_ms()
    truth = {('first', 'forward'): 5, ('second', 'forward'): 20, ('first', 'backward'): 10, ('second', 'backward'): 15}

    def step(timer):
        x = torch.ones(2, requires_grad=True, device='cuda')
        two_stages(x, lambda *key: torch.cuda._sleep(int(rate * truth[key]))).sum().backward()
        timer.rebase('optimizer')

    timeline = timed(step, CudaClock(torch.device('cuda', 0)))
    assert not timeline.complete()  # nobody has waited for the GPU
    torch.cuda.synchronize()
    times = timeline.times()
    for (name, phase), ms in truth.items():
        assert times[Owner(name, None, phase)] == pytest.approx(ms, rel=0.02, abs=0.1)
