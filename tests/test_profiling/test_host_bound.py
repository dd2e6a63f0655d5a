"""Against a model of a device that works off a queue, whose true waiting is known."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.profiling import listening, stage
from vrtspike.profiling import timer as timer_module
from vrtspike.profiling.host_bound import Issue, host_bound_ms
from vrtspike.profiling.timer import CudaClock, StageTimer, Timeline
from vrtspike.records.stage_costs import Owner


class Device:
    """A device that runs kernels in order, none before the host has issued it. The host's clock is ``host_ms``.

    The device's own clock is ahead of the host's by a time that nobody knows.
    """

    AHEAD_MS = 12345.0

    def __init__(self):
        self.host_ms = self.free_ms = self.waited_ms = 0.0

    def host(self, ms):
        """The host computes."""
        self.host_ms += ms

    def kernel(self, ms):
        """The host issues a kernel."""
        begins = max(self.free_ms, self.host_ms)
        self.waited_ms += begins - self.free_ms
        self.free_ms = begins + ms

    def synchronize(self):
        self.host_ms = max(self.host_ms, self.free_ms)

    def stamp(self):
        issue = Issue(self.host_ms, self.free_ms <= self.host_ms)
        self.kernel(0.0)
        return SimpleNamespace(ms=self.free_ms + self.AHEAD_MS, waited=self.waited_ms, issue=issue)

    def elapsed_ms(self, start, end):
        return end.ms - start.ms

    def issue(self, stamp):
        return stamp.issue


def timeline_of(device, *stages):
    """Return the timeline of stages, each a list of (ms of the host, ms of the kernel that it then issues)."""
    marks = []
    for i, work in enumerate(stages):
        marks.append((device.stamp(), Owner(f'stage{i}')))
        for host_ms, kernel_ms in work:
            device.host(host_ms)
            device.kernel(kernel_ms)
    return Timeline(device, marks, device.stamp())


def test_a_stage_of_small_kernels_is_host_bound_and_one_of_large_kernels_is_not():
    device = Device()
    small, large = [(1.0, 0.25)] * 8, [(1.0, 10.0)] * 4
    timeline = timeline_of(device, small, large, large, small)
    assert timeline.times() == {
        Owner('stage0'): 8.25,  # the host issues for 8 ms, then the device still has the last kernel
        Owner('stage1'): 40.75,
        Owner('stage2'): 40.0,
        Owner('stage3'): 2.0,
    }
    # The device waits 1 ms for the first kernel and then 0.75 ms for each; all of it within the first 8 ms.
    assert timeline.host_bound() == {'stage0': 8.0, 'stage1': 3.75, 'stage2': 0.0, 'stage3': 0.0}


def test_a_queue_that_is_full_throughout_says_nothing():
    device = Device()
    device.kernel(100.0)
    timeline = timeline_of(device, [(1.0, 0.25)] * 8, [(1.0, 0.25)])
    assert timeline.host_bound() == {}
    assert timeline.spans()[0].host_bound_ms is None


def test_a_queue_that_is_full_at_first_is_compared_later():
    device = Device()
    device.kernel(4.0)
    timeline = timeline_of(device, [(1.0, 0.5)] * 8 + [(1.0, 0.0)], [])
    # The device comes to the first mark after 4 of the 9 ms. From then on it may wait, and it does for 1 ms.
    assert device.waited_ms == 1.0
    assert timeline.times()[Owner('stage0')] == timeline.host_bound()['stage0'] == 5.0


def test_an_interrupted_host_does_not_shift_the_comparison():
    lengths = [2.0, 2.0]
    assert host_bound_ms(lengths, [Issue(0.0, True), Issue(2.0, True), Issue(4.0, True)]) == [2.0, 2.0]
    # The host is interrupted for 1 ms after its stamp: this mark seems to be late by 1 ms, the others do not.
    assert host_bound_ms(lengths, [Issue(0.0, True), Issue(1.0, True), Issue(4.0, True)]) == [1.0, 2.0]


work = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=6)


@given(st.lists(work, min_size=1, max_size=6), st.integers(0, 20), st.booleans())
def test_the_waiting_is_never_longer_and_the_stage_never_shorter(stages, queued_ms, waits):
    device = Device()
    device.kernel(queued_ms)
    if waits:
        device.synchronize()
    timeline = timeline_of(device, *stages)
    stamps = timeline._stamps()
    for span, start, end in zip(timeline.spans(), stamps, stamps[1:], strict=False):
        if span.host_bound_ms is None:
            assert not any(stamp.issue.queue_empty for stamp in stamps)
        else:
            assert end.waited - start.waited <= span.host_bound_ms <= span.ms
    if waits:
        assert timeline.host_bound()


@given(st.lists(work, min_size=1, max_size=6))
def test_faster_kernels_leave_the_host_bound_time(stages):
    """The host-bound time of all stages is what they would take at least if kernels took no time."""
    device, instant = Device(), Device()
    timeline = timeline_of(device, *stages)
    at_once = timeline_of(instant, *([(host, 0) for host, _ in each] for each in stages))
    assert sum(timeline.host_bound().values()) <= at_once.total_ms()
    assert at_once.host_bound() == {owner.stage: ms for owner, ms in at_once.times().items()}


def test_the_stages_of_a_training_iteration_forward_and_backward():
    """The patched device runs a network with one stage of many small kernels and one of a large kernel."""
    device = Device()

    class Work(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, kernels, ms):
            ctx.work = kernels, ms
            return issue(x.clone(), kernels, ms)

        @staticmethod
        def backward(ctx, grad):
            return issue(grad, *ctx.work), None, None

    def issue(x, kernels, ms):
        for _ in range(kernels):
            device.host(0.5)
            device.kernel(ms)
        return x

    timer = StageTimer(device)
    with listening(timer):
        timer.start('data')
        x = torch.ones(2, requires_grad=True)
        with stage('many') as s:
            x = s.leave(Work.apply(s.enter(x), 20, 0.125))
        with stage('large') as s:
            x = s.leave(Work.apply(s.enter(x), 2, 8.0))
        x.sum().backward()
        device.synchronize()
        timer.rebase('optimizer')
        timeline = timer.stop()
    times = {owner.stage: 0.0 for owner in timeline.times()}
    for owner, ms in timeline.times().items():
        times[owner.stage] += ms
    host_bound = timeline.host_bound()
    assert host_bound['many'] == 10.0  # its whole forward pass; backward, it is in the queue behind the large kernels
    assert times['many'] == 10.125 + 20 * 0.125
    assert host_bound['large'] == 1.0 - 0.125
    assert times['large'] == 4 * 8.0 + 0.375


def test_the_clock_of_a_gpu_looks_at_the_queue_before_it_adds_to_it(monkeypatch):
    calls = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            calls.append('record')

        def query(self):
            return len(calls) > 2

        def elapsed_time(self, end):
            return 7.0

    def stream_is_empty():
        calls.append('look')
        return True

    monkeypatch.setattr(torch.cuda, 'Event', Event)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: SimpleNamespace(query=stream_is_empty))
    monkeypatch.setattr(timer_module, 'time', SimpleNamespace(perf_counter_ns=lambda: 3_000_000))
    clock = CudaClock(torch.device('cuda', 0))
    start = clock.stamp()
    assert calls == ['look', 'record']
    assert clock.issue(start) == Issue(3.0, True)
    assert not clock.passed(start)
    end = clock.stamp()
    assert clock.passed(end)
    assert clock.elapsed_ms(start, end) == 7.0


@pytest.mark.gpu
def test_small_kernels_on_a_gpu_are_host_bound():
    x = torch.ones(2, device='cuda')
    clock = CudaClock(torch.device('cuda', 0))
    torch.cuda.synchronize()
    marks = []
    for name, work in (('small', lambda: [x.add_(1) for _ in range(500)]), ('large', lambda: torch.cuda._sleep(10**8))):
        marks.append((clock.stamp(), Owner(name)))
        work()
    timeline = Timeline(clock, marks, clock.stamp())
    torch.cuda.synchronize()
    times, host_bound = timeline.times(), timeline.host_bound()
    assert host_bound['small'] > 0.8 * times[Owner('small')]
    assert host_bound['large'] < 0.1 * times[Owner('large')]
