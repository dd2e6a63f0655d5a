"""Exclusive times of every stage, part and phase of one iteration.

At every mark, the timer records the time and the owner of the work that follows. So the times of all owners sum to the
time from the first mark to the last, and no time is counted twice. A mark only takes a time stamp. On a GPU this is an
event in the stream, which is read after the device has passed it, so the host never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from vrtspike.profiling.stages import innermost
from vrtspike.records.stage_costs import Owner

UNOWNED_BACKWARD = Owner('other', None, 'backward')


class Clock(Protocol):
    """Takes time stamps, and later returns the time between them."""

    def stamp(self) -> Any:
        """Return a stamp of the present moment on the device."""

    def passed(self, stamp: Any) -> bool:
        """Return whether the device has passed a stamp."""

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """Return the milliseconds between two stamps that the device has passed."""


class HostClock:
    """The host's performance counter, for devices that compute synchronously."""

    def stamp(self) -> int:
        return time.perf_counter_ns()

    def passed(self, stamp: int) -> bool:
        return True

    def elapsed_ms(self, start: int, end: int) -> float:
        return (end - start) / 1e6


class CudaClock:
    """Events in a GPU's current stream. They give the times of the GPU without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def stamp(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def passed(self, stamp: torch.cuda.Event) -> bool:
        return stamp.query()

    def elapsed_ms(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end)


def clock_of(device: torch.device) -> Clock:
    """Return the clock for work on ``device``."""
    return CudaClock(device) if device.type == 'cuda' else HostClock()


@dataclass
class Timeline:
    """The marks of one iteration, which can be read after the device has passed the last one."""

    clock: Clock
    marks: list[tuple[Any, Owner]]
    end: Any

    def complete(self) -> bool:
        """Whether the times can be read without waiting."""
        return self.clock.passed(self.end)

    def total_ms(self) -> float:
        """Return the milliseconds from the first mark to the end."""
        return self.clock.elapsed_ms(self.marks[0][0], self.end)

    def times(self) -> dict[Owner, float]:
        """Return the milliseconds of every owner, in the order of their first marks. They sum to the total."""
        stamps = [stamp for stamp, _ in self.marks] + [self.end]
        times: dict[Owner, float] = {}
        for (start, owner), end in zip(self.marks, stamps[1:], strict=True):
            times[owner] = times.get(owner, 0.0) + self.clock.elapsed_ms(start, end)
        return times


class StageTimer:
    """A stage listener that records the timeline of an iteration, from :meth:`start` to :meth:`stop`.

    A stage's backward pass ends when the gradients of its inputs have arrived, when the backward pass of another stage
    begins, or when the whole backward pass ends. In the second and third case the stage's input needs no gradient, and
    the stage ended with the last gradient of its parameters: later time does not belong to it. To find this moment,
    call :meth:`gradient_accumulated` for every parameter, for example by
    ``Tensor.register_post_accumulate_grad_hook``.

    Args:
        clock: Takes the time stamps.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.marks: list[tuple[Any, Owner]] | None = None
        """None between iterations, when marks are ignored."""
        self.on_mark: Callable[[Owner, Owner], None] | None = None
        """Called at every mark with the owners before and after it."""
        self._ended_by_gradient: set[str] = set()
        self._reset('other')

    def start(self, base: str) -> None:
        """Begin a timeline. ``base`` owns the time outside of all stages."""
        self._reset(base)
        self.marks = []
        self._mark()

    def rebase(self, base: str, tail: str | None = None) -> None:
        """Close all open stages and let ``base`` own the time outside of stages from here on.

        Args:
            base: The new owner.
            tail: If given, the owner of the time since the last stage of a backward pass.
        """
        if self.marks is None:
            return
        self._close_backward_stage()
        stamp, owner = self.marks[-1]
        if tail is not None and owner == UNOWNED_BACKWARD:
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
        if self._forward:  # otherwise the timeline began inside the stage
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
        """Record that a parameter has received its gradient."""
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
        """Close the open stage of the backward pass, at its last parameter gradient if its input needs no gradient."""
        if self._backward_stage is not None and self._last_gradient is not None:
            stamp, _ = self.marks[self._last_gradient]
            self.marks[self._last_gradient] = (stamp, UNOWNED_BACKWARD)
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
        backward = torch._C._current_graph_task_id() != -1  # torch.utils.checkpoint detects recomputation this way too
        if not self._forward:
            if not backward:
                return Owner(self._base)
            part = self._backward_parts[-1] if self._backward_parts else None
            return Owner(self._backward_stage or 'other', part, 'backward')
        stage, part = innermost(self._forward)
        stage = stage or (self._backward_stage if backward else None)
        return Owner(stage or 'other', part, 'recompute' if backward else 'forward')
