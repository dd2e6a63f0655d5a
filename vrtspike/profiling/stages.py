"""Stage markers: networks mark where their stages begin and end, and listeners receive these events.

A stage is marked in the code that runs it. Module hooks cannot find it, because it may span several modules or none.

    with stage('stage3') as s:
        x = s.enter(x)
        with part('attention') as p:
            x = p.leave(self.attention(p.enter(x)))
        x = s.leave(x)

``enter`` and ``leave`` are identities. Their autograd nodes tell listeners when the *backward* pass of the stage begins
(a gradient reaches an output) and ends (the gradients of all inputs have arrived). Without listeners they record
nothing and add nothing to the graph.

Inside a compiled graph there are no events, and markers do nothing. They do not break the graph for listeners either:
PyTorch would then never compile a function with a loop over stages again, also when the listeners have gone.

While a PyTorch profiler records, the markers name the stages in it (:mod:`vrtspike.profiling.ranges`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from vrtspike.profiling.ranges import active_ranges


class StageListener(Protocol):
    """Receives the four events of a stage in program order.

    Names of parts begin with a slash: ``'/attention'`` is inside the stage that is open.
    """

    def forward_begins(self, name: str) -> None: ...

    def forward_ends(self, name: str) -> None: ...

    def backward_begins(self, name: str) -> None: ...

    def backward_ends(self, name: str) -> None: ...


_listeners: list[StageListener] = []
_open: list[str] = []
"""Names of the stages and parts that run forward, outermost first, while anyone hears the markers."""


@contextmanager
def listening(listener: StageListener) -> Iterator[StageListener]:
    """Send the events of all stages in the ``with`` block to ``listener``."""
    _listeners.append(listener)
    try:
        yield listener
    finally:
        _listeners.remove(listener)
        if not _listeners:
            _open.clear()


def has_listeners() -> bool:
    """Return whether anyone receives events: never in a compiled graph."""
    return not torch.compiler.is_compiling() and bool(_listeners)


def is_observed() -> bool:
    """Return whether anyone hears the markers: listeners, or the ranges of a profiler."""
    return not torch.compiler.is_compiling() and bool(_listeners or active_ranges())


def stage_is_open() -> bool:
    """Return whether a stage runs forward."""
    return any(not name.startswith('/') for name in _open)


class stage:
    """Marks the code of one stage (see the module's docstring).

    Args:
        name: One of the network's ``cost_stages()``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.awaited = 0
        """Number of inputs whose gradients have not arrived yet."""

    def __enter__(self) -> stage:
        if is_observed():
            _open.append(self.name)
            notify('forward_begins', self.name)
            for ranges in active_ranges():
                ranges.forward_begins(self.name)
        return self

    def __exit__(self, *exception: object) -> None:
        if is_observed():
            if _open:  # otherwise the listeners came when the stage had begun
                _open.pop()
            notify('forward_ends', self.name)
            for ranges in active_ranges():
                ranges.forward_ends(self.name)

    def enter(self, x: Tensor) -> Tensor:
        """Return ``x``, an input of the stage. The backward pass ends when the gradients of all inputs have arrived."""
        if not (has_listeners() and x.requires_grad):
            return x
        self.awaited += 1
        return _Entry.apply(x, self)

    def leave(self, x: Tensor) -> Tensor:
        """Return ``x``, an output of the stage. The backward pass begins when its gradient arrives."""
        x = _Exit.apply(x, self) if has_listeners() and x.requires_grad else x
        if not torch.compiler.is_compiling():
            for ranges in active_ranges():
                ranges.leaves(x.grad_fn)
        return x


class part(stage):
    """Marks a part of the stage that it runs in, like :class:`stage`.

    A part inside a checkpointed region runs again in the backward pass. That run belongs to the recompute phase.

    Args:
        name: Such as ``'attention'``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'/{name}')


def innermost(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the innermost stage and its innermost part from all open names, outermost first."""
    stage_name = part_name = None
    for name in names:
        if name.startswith('/'):
            part_name = name
        else:
            stage_name, part_name = name, None
    return stage_name, part_name


class _Entry(torch.autograd.Function):
    """The identity at a stage's beginning."""

    @staticmethod
    def forward(ctx, x: Tensor, marked: stage) -> Tensor:
        ctx.marked = marked
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        ctx.marked.awaited -= 1
        if not ctx.marked.awaited:
            notify('backward_ends', ctx.marked.name)
        return grad, None


class _Exit(torch.autograd.Function):
    """The identity at a stage's end."""

    @staticmethod
    def forward(ctx, x: Tensor, marked: stage) -> Tensor:
        ctx.name = marked.name
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        notify('backward_begins', ctx.name)
        return grad, None


def notify(event: str, name: str) -> None:
    """Send an event of a stage to all listeners."""
    for listener in tuple(_listeners):
        getattr(listener, event)(name)
