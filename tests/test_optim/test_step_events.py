"""Listeners of optimizer wrappers of every kind: what they hear, what they refuse, and that they leave no trace."""

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, LinearLR, OptimWrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper, apex_optimizer_wrapper
from torch import nn

from vrtspike.optim import DeviceAmpOptimWrapper, StepListener, subscribe, unsubscribe


class Recorder(StepListener):
    """Writes down what it hears, and refuses what it is told to refuse."""

    def __init__(self, refuse=()):
        self.heard, self.refuse = [], refuse

    def before_update(self, loss):
        self.heard.append(f'loss {loss.item():g}')

    def may_backpropagate(self):
        self.heard.append('may backpropagate')
        return 'backward' not in self.refuse

    def after_backward(self):
        self.heard.append('backward')

    def may_step(self):
        self.heard.append('may step')
        return 'step' not in self.refuse

    def after_step(self, taken):
        self.heard.append(f'step {taken}')

    def after_update(self):
        self.heard.append('update')


class OwnWrapper(OptimWrapper):
    """A user's wrapper, whose update does more than MMEngine's."""

    def update_params(self, loss, *args, **kwargs):
        super().update_params(2 * loss, *args, **kwargs)


@pytest.fixture
def amp_anywhere(monkeypatch):
    """Let MMEngine's wrapper for GPUs be made here, with a scaler that is off."""
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', lambda: torch.amp.GradScaler('cpu', enabled=False))


KINDS = [OptimWrapper, DeviceAmpOptimWrapper, AmpOptimWrapper, OwnWrapper]


def make(kind, **kwargs):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    return model, kind(optimizer=torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)


def update(model, wrapper, scale=1.0):
    loss = scale * model(torch.ones(2, 3)).square().mean()
    wrapper.update_params(loss)
    return loss.item()


@pytest.mark.usefixtures('amp_anywhere')
@pytest.mark.parametrize('kind', KINDS)
def test_a_listener_hears_every_event_and_changes_no_number(kind):
    model, wrapper = make(kind, accumulative_counts=2, clip_grad={'max_norm': 0.5})
    other, plain = make(kind, accumulative_counts=2, clip_grad={'max_norm': 0.5})
    listener = Recorder()
    subscribe(wrapper, listener)
    first = update(model, wrapper)
    assert listener.heard == [f'loss {first:g}', 'may backpropagate', 'backward', 'update']
    listener.heard.clear()
    update(model, wrapper)
    assert listener.heard[1:] == ['may backpropagate', 'backward', 'may step', 'step True', 'update']
    update(other, plain), update(other, plain)
    assert torch.equal(model.weight, other.weight)


@pytest.mark.usefixtures('amp_anywhere')
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('refused', ['backward', 'step'])
def test_what_one_refuses_does_not_happen_and_the_others_hear_it(kind, refused):
    model, wrapper = make(kind)
    before = model.weight.clone()
    listeners = [Recorder(refuse=(refused,)), Recorder()]
    for listener in listeners:
        subscribe(wrapper, listener)
    update(model, wrapper)
    if refused == 'step':
        assert torch.equal(model.weight, before)
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(listener.heard[-2:] == ['step False', 'update'] for listener in listeners)
    else:
        assert all('backward' not in listener.heard for listener in listeners)
    assert wrapper.inner_count == 1


def test_listeners_leave_in_any_order():
    for first, second in ((0, 1), (1, 0)):
        model, wrapper = make(OptimWrapper)
        listeners = [Recorder(), Recorder()]
        for listener in listeners:
            subscribe(wrapper, listener)
        unsubscribe(wrapper, listeners[first])
        update(model, wrapper)
        assert listeners[first].heard == []
        assert listeners[second].heard[-1] == 'update'
        unsubscribe(wrapper, listeners[second])
        assert {'update_params', 'backward', 'step', 'step_events'}.isdisjoint(vars(wrapper))
        unsubscribe(wrapper, listeners[second])


def test_subscribing_twice_is_hearing_once():
    model, wrapper = make(OptimWrapper)
    listener = Recorder()
    subscribe(wrapper, listener)
    subscribe(wrapper, listener)
    update(model, wrapper)
    assert listener.heard.count('update') == 1


@pytest.mark.filterwarnings('error')
def test_steps_are_counted_for_schedulers_before_and_after():
    model, wrapper = make(OptimWrapper)
    scheduler = LinearLR(wrapper, end=4)
    counting = wrapper.step
    listener = Recorder(refuse=('step',))
    subscribe(wrapper, listener)
    update(model, wrapper)
    assert wrapper._global_step == -1  # refused, so not counted
    listener.refuse = ()
    update(model, wrapper)
    scheduler.step()  # warns, which is an error here, unless it finds its counter
    assert wrapper._global_step == 0
    unsubscribe(wrapper, listener)
    assert wrapper.step is counting


def test_the_state_is_that_of_the_wrapper():
    _, wrapper = make(DeviceAmpOptimWrapper)
    state = wrapper.state_dict()
    subscribe(wrapper, Recorder())
    assert wrapper.state_dict() == state


def test_the_wrapper_for_apex_is_served_too(monkeypatch):
    class Apex:
        @staticmethod
        def scale_loss(loss, optimizer):
            import contextlib

            return contextlib.nullcontext(loss)

    monkeypatch.setattr(apex_optimizer_wrapper, 'apex_amp', Apex)
    model, wrapper = make(apex_optimizer_wrapper.ApexOptimWrapper)
    listener = Recorder()
    subscribe(wrapper, listener)
    update(model, wrapper)
    assert listener.heard[1:] == ['may backpropagate', 'backward', 'may step', 'step True', 'update']
