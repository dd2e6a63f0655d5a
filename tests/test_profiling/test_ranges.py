import json
from collections import Counter

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from vrtspike.profiling import listening, part, ranges, stage
from vrtspike.profiling.named_stages import NamedStages
from vrtspike.profiling.ranges import StageRanges, nvtx_ranges
from vrtspike.profiling.timer import HostClock, StageTimer

PHASES = (' forward', ' recompute', ' backward')


class Net(nn.Module):
    """A stage whose input needs no gradient, one with two outputs and a checkpointed part, and a loss."""

    def __init__(self, reentrant=False):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.reentrant = reentrant

    def forward(self, x):
        with stage('first') as s:
            x = s.leave(self.first(s.enter(x)).exp())
        with stage('second') as s:
            x = checkpoint(self.mlp, s.enter(x), use_reentrant=self.reentrant)
            x, y = s.leave(x.sin()), s.leave(x.cos())
        with stage('loss') as s:
            return s.leave((s.enter(x) * s.enter(y)).square().mean())

    def mlp(self, x):
        with part('mlp') as p:
            return p.leave(self.second(p.enter(x)).tanh())


@pytest.fixture(params=['no listener', 'the timer listens'])
def events(request):
    """What the profiler saw of an iteration."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        if request.param == 'no listener':
            Net()(torch.ones(2, 4)).backward()
        else:
            with listening(StageTimer(HostClock())):
                Net()(torch.ones(2, 4)).backward()
    return profiler.events()


def around(event):
    """Return the names of our ranges around an event, innermost first."""
    names = []
    while event := event.cpu_parent:
        if event.name.endswith(PHASES):
            names.append(event.name)
    return names


def test_the_profiler_sees_every_stage_in_every_phase(events):
    seen = Counter(event.name for event in events if event.name.endswith(PHASES))
    once = {'first forward', 'second forward', 'second/mlp forward', 'loss forward', 'second/mlp recompute'}
    assert set(seen) == once | {'first backward', 'second backward', 'second/mlp backward', 'loss backward'}
    assert all(seen[name] == 1 for name in once)


def test_every_operator_of_a_stages_backward_pass_lies_inside_its_range(events):
    """An independent witness: the profiler gives a node the number of the forward operator that made it."""
    made_by = {}
    for event in events:
        phases = [name for name in around(event) if name.endswith(' forward')]
        if event.sequence_nr >= 0 and phases:
            made_by[event.sequence_nr] = [name.replace(' forward', ' backward') for name in phases]
    nodes = [event for event in events if event.name.endswith('Backward0') and not event.name.startswith('autograd::')]
    assert {node.name for node in nodes} >= {'AddmmBackward0', 'ExpBackward0', 'TanhBackward0', 'MeanBackward0'}
    for node in nodes:
        assert around(node) == made_by[node.sequence_nr], node.name
        for operator in node.cpu_children:
            if operator.name.startswith('aten::'):
                assert around(operator) == around(node)
    accumulated = [around(event) for event in events if event.name == 'torch::autograd::AccumulateGrad']
    assert sorted(accumulated) == [['first backward']] * 2 + [['second/mlp backward', 'second backward']] * 2


def test_recomputation_is_inside_the_node_that_needs_it(events):
    (recompute,) = (event for event in events if event.name == 'second/mlp recompute')
    assert around(recompute) == ['second/mlp backward', 'second backward']


def test_no_range_overlaps_with_an_event_of_the_profiler_without_nesting(events):
    """Perfetto drops slices that overlap otherwise, and NVTX closes the wrong one."""
    times = [(event.time_range.start, event.time_range.end) for event in events]
    for event in events:
        if event.name.endswith(PHASES):
            start, end = event.time_range.start, event.time_range.end
            assert not [1 for begin, stop in times if begin < start < stop < end or start < begin < end < stop]


def test_without_a_profiler_nothing_is_opened_and_no_node_is_named(monkeypatch):
    monkeypatch.setattr(ranges._in_profilers, '_open_range', None)  # would raise
    loss = Net()(torch.ones(2, 4, requires_grad=True))
    loss.backward()
    assert ranges.active_ranges() == []


def test_an_exported_trace_of_the_profiler_has_the_names(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        Net()(torch.ones(2, 4)).backward()
    profiler.export_chrome_trace(str(tmp_path / 'trace.json'))
    events = json.loads((tmp_path / 'trace.json').read_text())['traceEvents']
    named = {event['name'] for event in events if event.get('cat') == 'user_annotation'}
    assert {'first forward', 'second/mlp recompute', 'second/mlp backward', 'first backward'} <= named


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
def stack(monkeypatch):
    """Ranges that somebody asked for."""
    stack = Stack()
    monkeypatch.setattr(ranges, '_asked', [StageRanges(stack)])
    return stack


def test_every_iteration_has_the_same_ranges_and_leaves_none_open(stack):
    model = Net()
    seen = []
    for _ in range(3):
        loss = model(torch.ones(2, 4))
        assert stack.open == []
        loss.backward()
        assert stack.open == []
        seen.append(stack.seen)
        stack.seen = []
    assert seen[0] == seen[1] == seen[2]  # the nodes of parameters, which stay, are not named twice


def test_checkpoints_of_the_reentrant_kind(stack):
    Net(reentrant=True)(torch.ones(2, 4)).backward()
    assert stack.open == []
    assert ('second backward', 'second/mlp recompute') in stack.seen
    assert ('second backward', 'second backward', 'second/mlp backward') in stack.seen


def test_a_stage_inside_a_stage_and_parts_one_after_another(stack):
    x = torch.ones(2, requires_grad=True)
    with stage('outer') as s:
        x = s.enter(x)
        for name in ('one', 'two'):
            with part(name) as p:
                x = p.leave(p.enter(x).exp())
        with stage('inner') as t, part('three') as p:
            x = t.leave(p.leave(p.enter(t.enter(x)).sin()))
        x = s.leave(x.cos())
    stack.seen = []
    x.sum().backward()
    assert stack.seen == [
        ('outer backward',),
        ('inner backward',),
        ('inner backward', 'inner/three backward'),
        ('outer backward',),
        ('outer backward', 'outer/two backward'),
        ('outer backward',),
        ('outer backward', 'outer/one backward'),
        ('outer backward',),  # of the input, which is a parameter here
        ('outer backward', 'outer/one backward'),
    ]


def test_what_other_stages_made_is_not_named_again(stack):
    x = torch.ones(2, requires_grad=True)
    with stage('first') as s:
        y = s.leave(s.enter(x).exp())
    between = y.sin()
    with stage('second') as s:
        z = s.leave(between.cos())  # no input is marked
    stack.seen = []
    z.sum().backward()
    assert stack.seen == [('second backward',), ('first backward',), ('first backward',)]


def test_a_backward_pass_inside_a_stage_leaves_the_stage_open(stack):
    with stage('penalty'):
        x = torch.ones(2, 4, requires_grad=True)
        with stage('inner') as s:
            y = s.leave(s.enter(x).exp())
        torch.autograd.grad(y.sum(), x)
        assert stack.open == ['penalty forward']
    assert stack.open == []


def test_ranges_that_begin_in_the_middle_of_a_stage_hear_nothing_of_it(monkeypatch):
    stack = Stack()
    with stage('begun'):
        monkeypatch.setattr(ranges, '_asked', [StageRanges(stack)])
        with part('mlp'):
            pass
    assert stack.seen == [('other/mlp forward',)]
    assert stack.open == []


def test_nvtx_ranges_are_pushed_and_popped_while_they_are_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda.nvtx, 'range_push', calls.append)
    monkeypatch.setattr(torch.cuda.nvtx, 'range_pop', lambda: calls.append('pop'))
    with nvtx_ranges(), stage('first'), part('mlp'):
        pass
    with stage('later'):
        pass
    assert calls == ['first forward', 'first/mlp forward', 'pop', 'pop']


def test_stages_named_by_their_modules_have_ranges_too():
    """No marks in the code, and nobody listens but the profiler."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh()))
    patterns = {'first': '0', 'second': '1', 'inner': '1.0'}
    with NamedStages(model, patterns), profile(activities=[ProfilerActivity.CPU]) as profiler:
        model(torch.ones(2, 4)).square().mean().backward()
    found = {}
    for event in profiler.events():
        if event.name.endswith(('Backward0', 'AccumulateGrad')) and not event.name.startswith('autograd::'):
            found.setdefault(event.name.rpartition('::')[2], []).append(around(event))
    inner, first = ['second/inner backward', 'second backward'], ['first backward']
    assert found['TanhBackward0'] == [['second backward']]
    assert found['AddmmBackward0'] == [inner, first]
    assert sorted(found['AccumulateGrad']) == [first] * 2 + [inner] * 2
    assert found['MeanBackward0'] == [[]]
    forward = Counter(event.name for event in profiler.events() if event.name.endswith(' forward'))
    assert forward == {'first forward': 1, 'second forward': 1, 'second/inner forward': 1}
