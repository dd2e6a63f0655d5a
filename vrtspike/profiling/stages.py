"""Stage markers: networks say where their stages begin and end, instruments listen.

A stage is marked where it runs, because module hooks cannot find it: a stage may be several modules, or none.

    with stage('stage3') as s:
        x = s.enter(x)
        with part('attention') as p:
            x = p.leave(self.attention(p.enter(x)))
        x = s.leave(x)

``enter`` and ``leave`` are identities. Their autograd nodes tell a listener when the *backward* pass of the stage
ends (the gradients of all that entered have arrived) and begins (a gradient reaches what left). Without listeners
nothing is recorded and nothing is added to the graph. Inside a compiled graph nobody can listen, and markers are inert.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor


class StageListener(Protocol):
    """Receives the four events of a stage, in program order: forward in and out, backward in and out.

    Names of parts begin with a slash: ``'/attention'`` is inside whichever stage is open.
    """

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


class stage:
    """Mark the code of one stage; see the module's docstring.

    Args:
        name: One of the network's ``cost_stages()``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.awaited = 0
        """Gradients of what entered that have not arrived yet."""

    def __enter__(self) -> stage:
        if not torch.compiler.is_compiling():
            _tell('forward_begins', self.name)
        return self

    def __exit__(self, *exception: object) -> None:
        if not torch.compiler.is_compiling():
            _tell('forward_ends', self.name)

    def enter(self, x: Tensor) -> Tensor:
        """Return ``x``; the stage's backward pass ends when the gradients of all that entered have arrived."""
        if not _heard(x):
            return x
        self.awaited += 1
        return _Entry.apply(x, self)

    def leave(self, x: Tensor) -> Tensor:
        """Return ``x``; its gradient's arrival is the beginning of the stage's backward pass."""
        return _Exit.apply(x, self) if _heard(x) else x


class part(stage):
    """Mark a part of whichever stage it runs in, as :class:`stage` does.

    A part inside a checkpointed region runs again in the backward pass: that run is the stage's recomputation.

    Args:
        name: What the part is, such as ``'attention'``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'/{name}')


def innermost(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the last stage among the names of what is open, outermost first, and the last part inside of it."""
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
            _tell('backward_ends', ctx.marked.name)
        return grad, None


class _Exit(torch.autograd.Function):
    """The identity at a stage's end."""

    @staticmethod
    def forward(ctx, x: Tensor, marked: stage) -> Tensor:
        ctx.name = marked.name
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        _tell('backward_begins', ctx.name)
        return grad, None


def _heard(x: Tensor) -> bool:
    """Return whether anybody would hear the gradient of ``x``."""
    return not torch.compiler.is_compiling() and bool(_listeners) and x.requires_grad


def _tell(event: str, name: str) -> None:
    for listener in tuple(_listeners):
        getattr(listener, event)(name)
