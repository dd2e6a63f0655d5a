"""Operators that the counter of :mod:`vrtspike.profiling.flops` counts as one each.

Packages above this one, such as :mod:`vrtspike.ops`, register their operators here, so the counter knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

RunAsOne = Callable[..., object]
"""Called with an operator's implementation and its arguments; runs it and counts it as one operator."""

FusedOperators = Callable[[RunAsOne], AbstractContextManager[None]]
"""Returns a context in which some operators run through a RunAsOne."""

_registered: list[FusedOperators] = []


def register_fused_operators(operators: FusedOperators) -> None:
    """Make all later counts treat each of these operators as one."""
    _registered.append(operators)


@contextmanager
def fused_operators(run_as_one: RunAsOne) -> Iterator[None]:
    """Send the calls of all registered operators to ``run_as_one``."""
    with ExitStack() as stack:
        for operators in _registered:
            stack.enter_context(operators(run_as_one))
        yield
