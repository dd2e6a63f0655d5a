"""The times of stages that are named by the paths of modules, on networks that do whatever they want with tensors."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from named_networks import Half, Net, linear
from planted import Delay
from torch import nn
from torch.utils.checkpoint import checkpoint

from vrtspike.profiling import listening, stage
from vrtspike.profiling.named_stages import NamedStages
from vrtspike.profiling.timer import StageTimer
from vrtspike.records.stage_costs import Owner


@dataclass
class Features:
    fine: torch.Tensor
    coarse: object


Pair = namedtuple('Pair', 'left right')


class Structured(nn.Linear):
    """Takes and returns tensors inside of nested containers and objects."""

    def forward(self, features, *, bias):
        x = super().forward(features['maps'][0].left + bias)
        return {'all': [Pair(x, None), Features(x * 2, (x * 3,))], 'name': 'x'}


def times_of(clock, model, stages, x=None, used=lambda out: out):
    """Return the milliseconds of all owners in one iteration, without those that took none."""
    timer = StageTimer(clock)
    x = torch.ones(2, 4, requires_grad=True) if x is None else x
    with NamedStages(model, stages) as named, listening(timer):
        timer.start('other')
        out = model(x)
        with stage('loss') as s:
            loss = s.leave(s.enter(used(out)).sum())
        loss.backward()
        timer.rebase('optimizer')
        times = timer.stop().times()
    assert named.limits() == []
    return {(stage or '') + (part or '') + ' ' + phase: ms for (stage, part, phase), ms in times.items() if ms}


def test_stages_forward_and_backward(clock):
    model = nn.Sequential(linear(clock, 1, 2), linear(clock, 10, 20), linear(clock, 100, 200))
    assert times_of(clock, model, {'first': '0', 'last': '2'}) == {
        'first forward': 1,
        'first backward': 2,
        'other forward': 10,
        'other backward': 20,
        'last forward': 100,
        'last backward': 200,
    }


def test_a_branch_beside_a_stage_is_not_its_time(clock):
    def run(net, x):
        x = net.stem(x)
        shortcut = net.shortcut(x)
        return net.body(x) + shortcut

    model = Net(run, stem=linear(clock, 1, 2), shortcut=linear(clock, 10, 20), body=linear(clock, 100, 200))
    times = times_of(clock, model, {'body': 'body', 'stem': 'stem'})
    assert (times['body backward'], times['other backward'], times['stem backward']) == (200, 20, 2)


def test_modules_inside_a_stage_are_its_parts_and_others_are_stages(clock):
    block = nn.Sequential(linear(clock, 1, 2), linear(clock, 10, 20))
    model = nn.Sequential(block, linear(clock, 100, 200), linear(clock, 1000, 2000))
    assert times_of(clock, model, {'block': '0', 'linear': ['0.1', '1']}) == {
        'block forward': 1,
        'block backward': 2,
        'block/linear forward': 10,
        'block/linear backward': 20,
        'linear forward': 100,
        'linear backward': 200,
        'other forward': 1000,
        'other backward': 2000,
    }


def test_a_module_inside_a_marked_stage_is_its_part(clock):
    def run(net, x):
        with stage('marked') as s:
            return s.leave(net.second(net.first(s.enter(x))))

    model = Net(run, first=linear(clock, 1, 2), second=linear(clock, 10, 20))
    times = times_of(clock, model, {'second': 'second'})
    assert times == {
        'marked forward': 1,
        'marked backward': 2,
        'marked/second forward': 10,
        'marked/second backward': 20,
    }


def test_a_module_that_is_called_twice(clock):
    model = Net(lambda net, x: net.twice(net.once(net.twice(x))), twice=linear(clock, 1, 2), once=linear(clock, 10, 20))
    times = times_of(clock, model, {'twice': 'twice'})
    assert times == {'twice forward': 2, 'twice backward': 4, 'other forward': 10, 'other backward': 20}


def test_an_input_without_gradient(clock):
    model = nn.Sequential(linear(clock, 1, 2), linear(clock, 10, 20))
    times = times_of(clock, model, {'first': '0'}, x=torch.ones(2, 4))
    assert times == {'first forward': 1, 'first backward': 2, 'other forward': 10, 'other backward': 20}


def test_parts_without_gradients_have_no_backward_pass(clock):
    def run(net, x):
        with torch.no_grad():
            teacher = net.teacher(x)
        return net.student(x) + net.frozen(teacher)

    model = Net(run, teacher=linear(clock, 1, 2), student=linear(clock, 10, 20), frozen=linear(clock, 100, 200))
    model.frozen.requires_grad_(False)
    times = times_of(clock, model, {name: name for name in ('teacher', 'student', 'frozen')})
    assert times == {'teacher forward': 1, 'student forward': 10, 'student backward': 20, 'frozen forward': 100}


@pytest.mark.parametrize('reentrant', [True, False])
def test_a_checkpointed_stage_has_its_recomputation_told_apart(clock, reentrant):
    model = Net(
        lambda net, x: net.tail(checkpoint(net.body, net.head(x), use_reentrant=reentrant)),
        head=linear(clock, 1, 2),
        body=nn.Sequential(linear(clock, 10, 20), linear(clock, 100, 200)),
        tail=linear(clock, 1000, 2000),
    )
    assert times_of(clock, model, {'body': 'body', 'second': 'body.1'}) == {
        'other forward': 1001,
        'other backward': 2002,
        'body forward': 10,
        'body recompute': 10,
        'body backward': 20,
        'body/second forward': 100,
        'body/second recompute': 100,
        'body/second backward': 200,
    }


@pytest.mark.parametrize('reentrant', [True, False])
def test_a_part_that_is_checkpointed_inside_of_its_stage(clock, reentrant):
    body = Net(
        lambda net, x: checkpoint(net.inner, net.first(x), use_reentrant=reentrant),
        first=linear(clock, 1, 2),
        inner=linear(clock, 10, 20),
    )
    assert times_of(clock, nn.Sequential(body), {'body': '0', 'inner': '*.inner'}) == {
        'body forward': 1,
        'body backward': 2,
        'body/inner forward': 10,
        'body/inner recompute': 10,
        'body/inner backward': 20,
    }


def test_nested_inputs_and_outputs(clock):
    def run(net, x):
        maps = {'maps': [Pair(net.before(x), None)]}
        out = net.middle(maps, bias=x)
        return net.after(out['all'][1].fine + out['all'][1].coarse[0])

    def slow(_, args, kwargs, out):
        out['all'][1].fine = Delay.apply(out['all'][1].fine, clock, 10, 20)

    middle = Structured(4, 4)
    middle.register_forward_hook(slow, with_kwargs=True)
    model = Net(run, before=linear(clock, 1, 2), middle=middle, after=linear(clock, 100, 200))
    times = times_of(clock, model, {'middle': 'middle'})
    assert times == {'other forward': 101, 'other backward': 202, 'middle forward': 10, 'middle backward': 20}


class Writes(nn.Linear):
    """Returns nothing and writes into the dictionary it gets."""

    def __init__(self, clock):
        super().__init__(4, 4)
        self.clock = clock

    def forward(self, maps):
        maps['out'] = Delay.apply(super().forward(maps['x']), self.clock, 10, 20)


def test_a_module_that_writes_into_its_arguments(clock):
    def run(net, x):
        maps = {'x': net.before(x)}
        net.writes(maps)
        return maps['out']

    model = Net(run, before=linear(clock, 1, 2), writes=Writes(clock))
    times = times_of(clock, model, {'writes': 'writes'})
    assert times == {'other forward': 1, 'other backward': 2, 'writes forward': 10, 'writes backward': 20}


def test_an_output_that_is_not_used_does_not_lengthen_the_backward_pass(clock):
    body = Net(lambda net, x: (net.used(x), net.unused(x)), used=linear(clock, 1, 2), unused=linear(clock, 10, 20))
    model = nn.Sequential(linear(clock, 100, 200), body)
    times = times_of(clock, model, {'body': '1'}, used=lambda out: out[0])
    assert times == {'other forward': 100, 'other backward': 200, 'body forward': 11, 'body backward': 2}


def test_outputs_whose_gradients_arrive_at_different_times(clock):
    body = Net(
        lambda net, x: (x := net.first(x), net.second(x)), first=linear(clock, 1, 2), second=linear(clock, 10, 20)
    )
    model = Net(
        lambda net, x: (lambda skip, deep: skip + net.after(deep))(*net.body(x)),
        body=body,
        after=linear(clock, 100, 200),
    )
    times = times_of(clock, model, {'body': 'body'})
    assert times == {'body forward': 11, 'body backward': 22, 'other forward': 100, 'other backward': 200}


def test_the_times_of_modules_around_which_tensors_are_modified_in_place(clock):
    model = Net(
        lambda net, x: net.last(net.halves(net.first(x)).relu_().repeat(1, 2)),
        first=linear(clock, 1, 2),
        halves=nn.Sequential(linear(clock, 10, 20), Half(4, 4)),
        last=linear(clock, 100, 200),
    )
    times = times_of(clock, model, {'halves': 'halves', 'last': 'last'})
    assert times == {
        'other forward': 1,
        'other backward': 2,
        'halves forward': 10,
        'halves backward': 20,
        'last forward': 100,
        'last backward': 200,
    }


class Fails(nn.Module):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def forward(self, x):
        self.clock.ms += 7
        raise ValueError('bad tile')


def test_a_module_that_raises_ends_its_stage(clock):
    def run(net, x):
        try:
            return net.fails(x)
        except ValueError:
            return net.instead(x)

    model = Net(run, fails=Fails(clock), instead=linear(clock, 10, 20))
    times = times_of(clock, model, {'fails': 'fails'})
    assert times == {'fails forward': 7, 'other forward': 10, 'other backward': 20}


def test_the_owner_of_a_named_stage_is_that_of_a_marked_one(clock):
    timer = StageTimer(clock)
    model = nn.Sequential(nn.Linear(4, 4))
    with NamedStages(model, {'one': '0'}), listening(timer):
        timer.start('data')
        model(torch.ones(1, 4))
    assert Owner('one') in timer.stop().times()
