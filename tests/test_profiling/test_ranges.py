import json
from contextlib import ExitStack

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from vrtspike.profiling import listening, part, ranges, stage
from vrtspike.profiling.ranges import StageRanges, nvtx_range


class Net(nn.Module):
    """A stage whose input needs no gradient, one with two outputs and a checkpointed part, and a loss."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        with stage('first') as s:
            x = s.leave(self.first(s.enter(x)).exp())
        with stage('second') as s:
            x = checkpoint(self.mlp, s.enter(x), use_reentrant=False)
            x, y = s.leave(x.sin()), s.leave(x.cos())
        with stage('loss') as s:
            return s.leave((s.enter(x) * s.enter(y)).square().mean())

    def mlp(self, x):
        with part('mlp') as p:
            return p.leave(self.second(p.enter(x)).tanh())


RANGES = [
    'first forward', 'second forward', 'second/mlp forward', 'loss forward', 'loss backward', 'second backward',
    'second/mlp backward', 'second/mlp recompute', 'first backward',
]  # fmt: skip


def profiled(model):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        model(torch.ones(2, 4)).backward()
    return profiler.events()


def inside(event, outer):
    return outer.time_range.start <= event.time_range.start and event.time_range.end <= outer.time_range.end


def test_the_profiler_sees_every_stage_in_every_phase():
    events = profiled(Net())
    assert [event.name for event in events if event.name in RANGES] == RANGES
    assert [event.name for event in events if event.name.endswith((' forward', ' backward', ' recompute'))] == RANGES


def test_every_operator_of_a_stages_backward_pass_lies_inside_its_range():
    events = profiled(Net())
    by_name = {event.name: event for event in events if event.name in RANGES}
    checked = 0
    for name in ('first', 'second', 'loss'):
        numbers = {  # autograd numbers its nodes, and the forward operators that made them have the same numbers
            event.sequence_nr
            for event in events
            if event.sequence_nr >= 0 and not event.name.startswith('_') and inside(event, by_name[f'{name} forward'])
        }
        for event in events:
            ours = event.name.startswith(('_E', 'autograd::engine::evaluate_function: _E'))  # markers, a range's edges
            if event.sequence_nr in numbers and 'Backward' in event.name and not ours:
                assert inside(event, by_name[f'{name} backward']), (name, event.name)
                checked += 1
    accumulated = [event for event in events if event.name == 'torch::autograd::AccumulateGrad']
    places = [[name for name in RANGES if inside(event, by_name[name])] for event in accumulated]
    assert sorted(places) == [['first backward']] * 2 + [['second backward', 'second/mlp backward']] * 2
    assert checked >= 14  # both events of linear, exp, linear, tanh, sin, cos, mul, square, mean in four stages' ranges


def test_ranges_are_parents_in_the_profilers_table():
    parents = {}
    for event in profiled(Net()):
        if event.name == 'ExpBackward0':
            above = event
            while above := above.cpu_parent:
                parents[above.name] = above
    assert 'first backward' in parents
    assert 'second backward' not in parents


def test_without_a_profiler_no_range_is_opened(monkeypatch):
    monkeypatch.setattr(ranges, 'profiler_range', None)
    monkeypatch.setattr(ranges.IN_PROFILERS, '_open_range', None)
    x = torch.ones(2, 4, requires_grad=True)
    Net()(x).backward()
    with stage('quiet') as s:
        assert s.enter(x) is x


class Stack:
    """Checks that ranges close in the order of a stack, and writes down what was open at every opening."""

    def __init__(self):
        self.open, self.seen = [], []

    def __call__(self, name):
        self.open.append(name)
        self.seen.append(tuple(self.open))

        def close():
            assert self.open.pop() == name

        return close


@pytest.fixture
def stack():
    return Stack()


def test_ranges_nest_and_are_closed_at_the_end_of_the_backward_pass(stack):
    with listening(StageRanges(stack)):
        model = Net()
        for _ in range(2):
            loss = model(torch.ones(2, 4))
            assert stack.open == []
            loss.backward()
            assert stack.open == []
    once = [
        ('first forward',),
        ('second forward',),
        ('second forward', 'second/mlp forward'),
        ('loss forward',),
        ('loss backward',),
        ('second backward',),
        ('second backward', 'second/mlp backward'),
        ('second backward', 'second/mlp backward', 'second/mlp recompute'),
        ('first backward',),
    ]
    assert stack.seen == once * 2


def test_a_part_with_two_outputs_is_one_range(stack):
    x = torch.ones(2, 4, requires_grad=True)
    with listening(StageRanges(stack)):
        with stage('align') as s:
            x = s.enter(x)
            with part('before') as p:
                x = p.leave(p.enter(x).exp())
            with part('offsets') as p:
                x = p.enter(x)
                y, z = p.leave(x.sin()), p.leave(x.cos())
            x = s.leave(y * z)
        x.sum().backward()
    assert stack.seen[-3:] == [
        ('align backward',),
        ('align backward', 'align/offsets backward'),
        ('align backward', 'align/before backward'),
    ]


def test_a_backward_pass_inside_a_stage_leaves_the_stage_open(stack):
    with listening(StageRanges(stack)):
        with stage('penalty'):
            x = torch.ones(2, 4, requires_grad=True)
            with stage('inner') as s:
                y = s.leave(s.enter(x).exp())
            torch.autograd.grad(y.sum(), x)
            assert stack.open == ['penalty forward']
        assert stack.open == []
    assert ('penalty forward', 'inner backward') in stack.seen


def test_a_listener_that_comes_in_the_middle_of_a_stage_hears_nothing_of_it(stack):
    with ExitStack() as late, stage('begun'):
        late.enter_context(listening(StageRanges(stack)))
        with part('mlp'):
            pass
    assert stack.seen == [('other/mlp forward',)]
    assert stack.open == []


def test_nvtx_ranges_are_pushed_and_popped(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda.nvtx, 'range_push', lambda name: calls.append(name))
    monkeypatch.setattr(torch.cuda.nvtx, 'range_pop', lambda: calls.append('pop'))
    with listening(StageRanges(nvtx_range)), stage('first'), part('mlp'):
        pass
    assert calls == ['first forward', 'first/mlp forward', 'pop', 'pop']


def test_an_exported_trace_of_the_profiler_has_the_names(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        Net()(torch.ones(2, 4)).backward()
    profiler.export_chrome_trace(str(tmp_path / 'trace.json'))
    events = json.loads((tmp_path / 'trace.json').read_text())['traceEvents']
    named = {event['name'] for event in events if event.get('cat') == 'user_annotation'}
    assert named == set(RANGES)
