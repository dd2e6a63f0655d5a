"""Groups of an optimizer that have the same settings."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW

from vrtspike.optim import OptimWrapper
from vrtspike.optim.merged_groups import merged_groups


def make_optimizer(kind=Adam, **settings):
    """Return an optimizer with a group for each of four parameters; the first and the third have the same rate."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(3)) for _ in range(4)]
    groups = [{'params': [each], 'lr': rate} for each, rate in zip(parameters, (0.1, 0.2, 0.1, 0.3), strict=True)]
    return kind(groups, **settings)


def parameters_of(optimizer):
    return [[id(each) for each in group['params']] for group in optimizer.param_groups]


def test_groups_with_the_same_settings_are_one_inside():
    optimizer = make_optimizer()
    (first,), (second,), (third,), (fourth,) = before = parameters_of(optimizer)
    groups = optimizer.param_groups
    with merged_groups(optimizer):
        assert parameters_of(optimizer) == [[first, third], [second], [fourth]]
        assert [group['lr'] for group in optimizer.param_groups] == [0.1, 0.2, 0.3]
    assert optimizer.param_groups is groups
    assert parameters_of(optimizer) == before


def test_the_groups_come_back_after_an_error():
    optimizer = make_optimizer()
    groups = optimizer.param_groups
    with pytest.raises(RuntimeError, match='stopped'), merged_groups(optimizer):
        raise RuntimeError('stopped')
    assert optimizer.param_groups is groups


def test_an_optimizer_that_is_not_known_keeps_its_groups():
    class Own(Adam): ...

    optimizer = make_optimizer(Own)
    with merged_groups(optimizer):
        assert len(optimizer.param_groups) == 4


@pytest.mark.parametrize('register', ['register_step_pre_hook', 'register_step_post_hook'])
def test_hooks_of_a_step_see_and_change_the_groups_themselves(register):
    optimizer = make_optimizer()
    getattr(optimizer, register)(lambda optimizer, *_: optimizer.param_groups[2].update(lr=0.5))
    with merged_groups(optimizer):
        assert len(optimizer.param_groups) == 4
        optimizer.step()
    assert [group['lr'] for group in optimizer.param_groups] == [0.1, 0.2, 0.5, 0.3]


def test_groups_may_have_settings_of_any_kind():
    optimizer = make_optimizer()
    for group, names in zip(optimizer.param_groups, (['a'], [], ['a'], [{}]), strict=True):
        group['of_mine'] = {'names': names}
    with merged_groups(optimizer):
        assert [group['of_mine']['names'] for group in optimizer.param_groups] == [['a'], [], [{}]]


@pytest.mark.parametrize(
    ('kind', 'settings'),
    [
        *((kind, settings) for kind in (Adam, AdamW, SGD) for settings in ({}, {'fused': True}, {'foreach': True})),
        (Adagrad, {}),
        (Adagrad, {'foreach': True}),
    ],
)
def test_steps_are_the_same_to_the_last_bit(kind, settings):
    def trained(step):
        optimizer = make_optimizer(kind, **settings)
        parameters = [each for group in optimizer.param_groups for each in group['params']]
        for i in range(3):
            for each in parameters:
                each.grad = torch.linspace(-1, i, 3)
            step(optimizer)
        return parameters, optimizer.state_dict()

    (found, state), (expected, before) = (
        trained(step) for step in (lambda each: OptimWrapper(each).step(), lambda each: each.step())
    )
    assert all(torch.equal(left, right) for left, right in zip(found, expected, strict=True))
    assert state['param_groups'] == before['param_groups']
