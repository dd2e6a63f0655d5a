"""Exclusive times of every stage, part and phase of one iteration.

At every mark, the timer records the time and the owner of the work that follows. So the times of all owners sum to the
time from the first mark to the last, and no time is counted twice. A mark only takes a time stamp. On a GPU this is an
event in the stream, which is read after the device has passed it, so the host never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise, repeat
from typing import Any, NamedTuple, Protocol

import torch

from vrtspike.profiling.host_bound import Issue, host_bound_ms
from vrtspike.profiling.stages import innermost
from vrtspike.records.stage_costs import Owner, Span

UNOWNED_BACKWARD = Owner('other', None, 'backward')


class Clock(Protocol):
    """Takes time stamps, and later returns the time between them."""

    def stamp(self) -> Any:
        """Return a stamp of the present moment on the device."""

    def passed(self, stamp: Any) -> bool:
        """Return whether the device has passed a stamp."""

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """Return the milliseconds between two stamps that the device has passed."""

    def issue(self, stamp: Any) -> Issue | None:
        """Return when the host issued a stamp, None if the host does the work itself."""


class HostClock:
    """The host's performance counter, for devices that compute synchronously."""

    def stamp(self) -> int:
        return time.perf_counter_ns()

    def passed(self, stamp: int) -> bool:
        return True

    def elapsed_ms(self, start: int, end: int) -> float:
        return (end - start) / 1e6

    def issue(self, stamp: int) -> None:
        return None


class CudaStamp(NamedTuple):
    """An event, and when the host put it into the stream."""

    event: torch.cuda.Event
    issue: Issue


class CudaClock:
    """Events in a GPU's current stream. They give the times of the GPU without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def stamp(self) -> CudaStamp:
        event = torch.cuda.Event(enable_timing=True)
        stream = torch.cuda.current_stream(self.device)
        stream_empty = stream.query()
        issue = Issue(time.perf_counter_ns() / 1e6, stream_empty)
        event.record(stream)
        return CudaStamp(event, issue)

    def passed(self, stamp: CudaStamp) -> bool:
        return stamp.event.query()

    def elapsed_ms(self, start: CudaStamp, end: CudaStamp) -> float:
        return start.event.elapsed_time(end.event)

    def issue(self, stamp: CudaStamp) -> Issue:
        return stamp.issue


def clock_of(device: torch.device) -> Clock:
    """Return the clock for work on ``device``."""
    return CudaClock(device) if device.type == 'cuda' else HostClock()


@dataclass
class Timeline:
    """The marks of one iteration, which can be read after the device has passed the last one."""

    clock: Clock
    marks: list[tuple[Any, Owner]]
    end: Any
    memory_mib: list[float] = field(default_factory=list)
    """Memory in use at every mark, if it was asked for."""

    def complete(self) -> bool:
        """Whether the times can be read without waiting."""
        return self.clock.passed(self.end)

    def total_ms(self) -> float:
        """Return the milliseconds from the first mark to the end."""
        return self.clock.elapsed_ms(self.marks[0][0], self.end)

    def times(self) -> dict[Owner, float]:
        """Return the milliseconds of every owner, in the order of their first marks. They sum to the total."""
        times: dict[Owner, float] = {}
        for (_, owner), ms in zip(self.marks, self.lengths_ms, strict=True):
            times[owner] = times.get(owner, 0.0) + ms
        return times

    def host_bound(self) -> dict[str, float]:
        """Return the host-bound milliseconds of every stage; empty if they are not known."""
        sums: dict[str, float] = {}
        for (_, owner), ms in zip(self.marks, self._host_bound_ms or (), strict=False):
            sums[owner.stage] = sums.get(owner.stage, 0.0) + ms
        return sums

    def spans(self) -> list[Span]:
        """Return what was done when."""
        starts = accumulate(self.lengths_ms, initial=0.0)
        host_bound = self._host_bound_ms or repeat(None)
        memory = self.memory_mib or repeat(None)
        owners = (owner for _, owner in self.marks)
        return [Span(*values) for values in zip(owners, starts, self.lengths_ms, host_bound, memory, strict=False)]

    @cached_property
    def lengths_ms(self) -> list[float]:
        """Return the milliseconds from every mark to the next."""
        return [self.clock.elapsed_ms(start, end) for start, end in pairwise(self._stamps())]

    @cached_property
    def _host_bound_ms(self) -> list[float] | None:
        issues = [self.clock.issue(stamp) for stamp in self._stamps()]
        return None if None in issues else host_bound_ms(self.lengths_ms, issues)

    def _stamps(self) -> list[Any]:
        return [*(stamp for stamp, _ in self.marks), self.end]


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
        self.memory_gauge: Callable[[], float] | None = None
        """Returns the memory in use in MiB. If it is set, every mark reads it."""
        self._memory_mib: list[float] = []
        self._ended_by_gradient: set[str] = set()
        self._reset('other')

    def start(self, base: str) -> None:
        """Begin a timeline. ``base`` owns the time outside of all stages."""
        self._reset(base)
        self.marks, self._memory_mib = [], []
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
        timeline = Timeline(self.clock, self.marks, self.clock.stamp(), self._memory_mib)
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
        if self.memory_gauge is not None:
            self._memory_mib.append(self.memory_gauge())
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
