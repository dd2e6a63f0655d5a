"""Exclusive times of every stage, part and phase, from the marks of one iteration.

The timer writes down, at every mark, the time and *who owns what follows*. The owners' times therefore sum to the time
from the first mark to the last, and nothing is counted twice. Reading the clock is all that a mark costs: on a GPU an
event is put into the stream and read when the device has passed it, so the host never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from vrtspike.profiling.stages import innermost
from vrtspike.records.stage_costs import Owner

NOBODY_IN_BACKWARD = Owner('other', None, 'backward')


class Clock(Protocol):
    """Takes stamps now and tells later how far they are apart."""

    def stamp(self) -> Any:
        """Return the present moment on the device."""

    def passed(self, stamp: Any) -> bool:
        """Return whether the device has reached the moment."""

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """Return the milliseconds between two moments that have passed."""


class HostClock:
    """The host's performance counter, for devices that compute while the host waits."""

    def stamp(self) -> int:
        return time.perf_counter_ns()

    def passed(self, stamp: int) -> bool:
        return True

    def elapsed_ms(self, start: int, end: int) -> float:
        return (end - start) / 1e6


class CudaClock:
    """Events in the current stream: the GPU's own times, read without making anybody wait."""

    def __init__(self) -> None:
        self.events: list[torch.cuda.Event] = []
        """Events to use again."""

    def stamp(self) -> torch.cuda.Event:
        event = self.events.pop() if self.events else torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def passed(self, stamp: torch.cuda.Event) -> bool:
        return stamp.query()

    def elapsed_ms(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end)


def clock_of(device: torch.device) -> Clock:
    """Return the clock that tells true times of what runs on ``device``."""
    return CudaClock() if device.type == 'cuda' else HostClock()


@dataclass
class Timeline:
    """The marks of one iteration; :meth:`times` reads them once the device has passed the last."""

    clock: Clock
    marks: list[tuple[Any, Owner]]
    end: Any

    def complete(self) -> bool:
        """Return whether the times can be read without waiting."""
        return self.clock.passed(self.end)

    def total_ms(self) -> float:
        """Return the milliseconds from the first mark to the end."""
        return self.clock.elapsed_ms(self.marks[0][0], self.end)

    def times(self) -> dict[Owner, float]:
        """Return the milliseconds of every owner, in the order of their first marks; they sum to the total."""
        stamps = [stamp for stamp, _ in self.marks] + [self.end]
        times: dict[Owner, float] = {}
        for (start, owner), end in zip(self.marks, stamps[1:], strict=True):
            times[owner] = times.get(owner, 0.0) + self.clock.elapsed_ms(start, end)
        return times


class StageTimer:
    """A stage listener that keeps the timeline of an iteration, from :meth:`start` to :meth:`stop`.

    A stage's backward pass ends when the gradients of what entered it have arrived, when another stage's begins, or
    with the whole backward pass. Where the second or third ends it, the stage's input needed no gradient and its work
    ended with the last gradient that one of its parameters got: call :meth:`gradient_accumulated` for each, as
    ``Tensor.register_post_accumulate_grad_hook`` does. What follows that one is not the stage's.

    Args:
        clock: What to take times with.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.marks: list[tuple[Any, Owner]] | None = None
        """None between iterations: marks are ignored."""
        self.on_mark: Callable[[Owner, Owner], None] | None = None
        """Called at every mark with the owner before and the one after it."""
        self._ended_by_gradient: set[str] = set()
        self._reset('other')

    def start(self, base: str) -> None:
        """Begin a timeline; ``base`` owns what no stage does."""
        self._reset(base)
        self.marks = []
        self._mark()

    def rebase(self, base: str, tail: str | None = None) -> None:
        """Close every stage that is open; from here on ``base`` owns what no stage does.

        Args:
            base: The new owner.
            tail: Whom the time since the last stage of a backward pass is given to, which nobody owned.
        """
        if self.marks is None:
            return
        self._close_backward_stage()
        stamp, owner = self.marks[-1]
        if tail is not None and owner == NOBODY_IN_BACKWARD:
            self.marks[-1] = (stamp, owner._replace(stage=tail))
        self._reset(base)
        self._mark()

    def stop(self) -> Timeline:
        """End the timeline and return it."""
        timeline = Timeline(self.clock, self.marks, self.clock.stamp())
        self.marks = None
        return timeline

    def forward_begins(self, name: str) -> None:
        self._forward.append(name)
        self._mark()

    def forward_ends(self, name: str) -> None:
        if self._forward:  # a timeline that began inside the stage did not hear its beginning
            self._forward.pop()
            self._mark()

    def backward_begins(self, name: str) -> None:
        if name.startswith('/'):
            self._backward_parts.append(name)
        elif name != self._backward_stage:
            self._close_backward_stage()
            self._backward_stage, self._backward_parts = name, []
        self._mark()

    def backward_ends(self, name: str) -> None:
        if name in self._backward_parts:
            del self._backward_parts[self._backward_parts.index(name) :]
        elif name == self._backward_stage:
            self._ended_by_gradient.add(name)
            self._backward_stage, self._backward_parts = None, []
        self._mark()

    def gradient_accumulated(self, _: object = None) -> None:
        """Note that a parameter has got its gradient."""
        if self._backward_stage is None or self._backward_stage in self._ended_by_gradient or self.marks is None:
            return
        self._mark()
        self._last_gradient = len(self.marks) - 1

    def _reset(self, base: str) -> None:
        self._base = base
        self._forward: list[str] = []
        self._backward_stage: str | None = None
        self._backward_parts: list[str] = []
        self._last_gradient: int | None = None

    def _close_backward_stage(self) -> None:
        """Give away what followed the last gradient in a stage that no gradient left."""
        if self._backward_stage is not None and self._last_gradient is not None:
            stamp, _ = self.marks[self._last_gradient]
            self.marks[self._last_gradient] = (stamp, NOBODY_IN_BACKWARD)
        self._backward_stage = self._last_gradient = None

    def _mark(self) -> None:
        if self.marks is None:
            return
        owner = self._owner()
        if self.on_mark is not None:
            self.on_mark(self.marks[-1][1] if self.marks else owner, owner)
        self.marks.append((self.clock.stamp(), owner))
        self._last_gradient = None

    def _owner(self) -> Owner:
        backward = torch._C._current_graph_task_id() != -1  # as torch.utils.checkpoint tells a recomputation
        if not self._forward:
            if not backward:
                return Owner(self._base)
            part = self._backward_parts[-1] if self._backward_parts else None
            return Owner(self._backward_stage or 'other', part, 'backward')
        stage, part = innermost(self._forward)
        stage = stage or (self._backward_stage if backward else None)
        return Owner(stage or 'other', part, 'recompute' if backward else 'forward')
