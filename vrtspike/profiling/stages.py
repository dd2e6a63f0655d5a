"""Stage markers: networks say where their stages begin and end, instruments listen.

A stage is marked where it runs, because module hooks cannot find it: a stage may be several modules, or none.

    with stage('stage3') as s:
        x = s.enter(x)
        x = self.body(x)
        x = s.leave(x)

``enter`` and ``leave`` are identities. Their autograd nodes tell a listener when the *backward* pass of the stage
ends (the gradient reaches ``enter``) and begins (it reaches ``leave``). Without listeners nothing is recorded and
nothing is added to the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor


class StageListener(Protocol):
    """Receives the four events of a stage, in program order: forward in and out, backward in and out."""

    def forward_begins(self, name: str) -> None: ...

    def forward_ends(self, name: str) -> None: ...

    def backward_begins(self, name: str) -> None: ...

    def backward_ends(self, name: str) -> None: ...


_listeners: list[StageListener] = []


@contextmanager
def listening(listener: StageListener) -> Iterator[StageListener]:
    """Tell ``listener`` about every stage that runs inside the ``with`` block."""
    _listeners.append(listener)
    try:
        yield listener
    finally:
        _listeners.remove(listener)


class _Marker(torch.autograd.Function):
    """The identity, whose backward pass reports one event."""

    @staticmethod
    def forward(ctx, x: Tensor, event: str, name: str) -> Tensor:
        ctx.event, ctx.name = event, name
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        _tell(ctx.event, ctx.name)
        return grad, None, None


def _tell(event: str, name: str) -> None:
    for listener in tuple(_listeners):
        getattr(listener, event)(name)


class stage:
    """Mark the code of one stage; see the module's docstring.

    Args:
        name: One of the network's ``cost_stages()``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> stage:
        _tell('forward_begins', self.name)
        return self

    def __exit__(self, *exception: object) -> None:
        _tell('forward_ends', self.name)

    def enter(self, x: Tensor) -> Tensor:
        """Return ``x``; its gradient's arrival is the end of the stage's backward pass."""
        return _Marker.apply(x, 'backward_ends', self.name) if _listeners and x.requires_grad else x

    def leave(self, x: Tensor) -> Tensor:
        """Return ``x``; its gradient's arrival is the beginning of the stage's backward pass."""
        return _Marker.apply(x, 'backward_begins', self.name) if _listeners and x.requires_grad else x
