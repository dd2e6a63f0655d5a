"""The events of an optimizer step: several hooks may listen to one optimizer wrapper, and stop listening in any order.

A config may name any class of optimizer wrapper, and MMEngine's schedulers replace the ``step`` of the instance to
count steps. :class:`StepEvents` therefore wraps the methods of the instance while there are subscriptions, and then
restores them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor

METHODS = ('update_params', 'backward', 'step')


class StepListener:
    """Base class of listeners. Subclasses override the events they need; here they do nothing.

    The methods are listed in the order of one iteration. ``may_step`` and ``after_step`` are called only in iterations
    that end an accumulation of gradients.
    """

    def before_update(self, loss: Tensor) -> None:
        """Receive the loss of this iteration before it is divided for gradient accumulation."""

    def may_backpropagate(self) -> bool:
        """Return whether the backward pass may run. If not, the iteration still counts for the accumulation."""
        return True

    def after_backward(self) -> None:
        """Called after a backward pass."""

    def may_step(self) -> bool:
        """Return whether the optimizer may step. If not, the gradients are zeroed nevertheless."""
        return True

    def after_step(self, taken: bool) -> None:
        """Called after a step, or after a listener has refused it."""

    def after_update(self) -> None:
        """Called when the weights and gradients of this iteration are final."""


class StepEvents:
    """Calls the listeners of an optimizer wrapper around its methods.

    Every listener is asked whether to proceed, even after another has refused, because its answer may need a collective
    operation.

    Args:
        wrapper: Its methods are replaced until :meth:`remove`.
    """

    def __init__(self, wrapper: OptimWrapper) -> None:
        self.wrapper = wrapper
        self.listeners: list[StepListener] = []
        self._overridden = {name: vars(wrapper)[name] for name in METHODS if name in vars(wrapper)}
        for name in METHODS:
            original = getattr(wrapper, name)
            # Attributes are kept, since schedulers look for theirs.
            setattr(wrapper, name, update_wrapper(partial(getattr(self, name), original), original))

    def remove(self) -> None:
        """Give the wrapper its methods back."""
        for name in METHODS:
            delattr(self.wrapper, name)
        vars(self.wrapper).update(self._overridden)

    def update_params(self, original: Callable[..., None], loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backpropagate and, if it is time, step."""
        for listener in self.listeners:
            listener.before_update(loss)
        original(loss, *args, **kwargs)
        for listener in self.listeners:
            listener.after_update()

    def backward(self, original: Callable[..., None], loss: Tensor, **kwargs: Any) -> None:
        """Backpropagate, unless a listener refuses."""
        answers = [listener.may_backpropagate() for listener in self.listeners]
        if not all(answers):
            self.wrapper._inner_count += 1  # as every wrapper's own backward does
            return
        original(loss, **kwargs)
        for listener in self.listeners:
            listener.after_backward()

    def step(self, original: Callable[..., None], **kwargs: Any) -> None:
        """Step, unless a listener refuses."""
        answers = [listener.may_step() for listener in self.listeners]
        taken = all(answers)
        if taken:
            original(**kwargs)
        for listener in self.listeners:
            listener.after_step(taken)


def subscribe(wrapper: OptimWrapper, listener: StepListener) -> None:
    """Let ``listener`` receive the events of ``wrapper``. Subscribing it twice has no further effect."""
    if 'step_events' not in vars(wrapper):
        wrapper.step_events = StepEvents(wrapper)
    if listener not in wrapper.step_events.listeners:
        wrapper.step_events.listeners.append(listener)


def unsubscribe(wrapper: OptimWrapper, listener: StepListener) -> None:
    """End the subscription of ``listener``, if there is one. Other listeners stay subscribed."""
    events = vars(wrapper).get('step_events')
    if events is None or listener not in events.listeners:
        return
    events.listeners.remove(listener)
    if not events.listeners:
        events.remove()
        del wrapper.step_events
