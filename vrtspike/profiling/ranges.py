"""Names the stages in the profilers of others: ``torch.profiler``, MMEngine's ``ProfilerHook``, Nsight Systems.

While a PyTorch profiler records, the stage markers open and close ranges such as ``stage3/attention backward``. So the
operators and kernels of a stage lie inside a range with its name and phase, in the backward pass too. A profiler needs
nothing else: no listener and no hook.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch.autograd import Variable
from torch.autograd import profiler as torch_profiler

OpenRange = Callable[[str], Callable[[], object]]
"""Opens a range with a name on the calling thread and returns the function that closes it."""


def profiler_range(name: str) -> Callable[[], object]:
    """Open a range in the PyTorch profiler that records; under ``emit_nvtx`` it is an NVTX range."""
    record = torch_profiler.record_function(name)
    record.__enter__()
    return lambda: record.__exit__(None, None, None)


def nvtx_range(name: str) -> Callable[[], object]:
    """Open an NVTX range, which Nsight Systems shows without a PyTorch profiler.

    Raises:
        RuntimeError: This build of torch has no CUDA.
    """
    torch.cuda.nvtx.range_push(name)
    return torch.cuda.nvtx.range_pop


def profiler_records() -> bool:
    """Return whether a PyTorch profiler records."""
    return torch_profiler._is_profiler_enabled


class _Range(NamedTuple):
    name: str
    backward: bool
    close: Callable[[], object]


@dataclass
class _Ranges:
    """The open ranges of a thread, outermost first."""

    stack: list[_Range] = field(default_factory=list)
    task: int = -1
    """The backward pass at whose end the rest of its ranges is closed."""

    def close_from(self, index: int) -> None:
        """Close the ranges from ``index`` on, innermost first."""
        while len(self.stack) > index:
            self.stack.pop().close()

    def index_of(self, name: str) -> int | None:
        """Return the place of the backward range of a stage or part, None if it is not open."""
        return next((i for i, each in enumerate(self.stack) if each.backward and each.name == name), None)


class StageRanges:
    """A stage listener that opens and closes ranges, on every thread in the order of a stack.

    The backward pass of a stage ends as in a :class:`~vrtspike.profiling.timer.StageTimer`, with one exception: a stage
    whose input needs no gradient ends when the next stage or the end of the backward pass comes, because a range cannot
    be closed in retrospect.

    Args:
        open_range: Opens a range.
    """

    def __init__(self, open_range: OpenRange) -> None:
        self._open_range = open_range
        self._threads = threading.local()

    def forward_begins(self, name: str) -> None:
        self._open(name, 'forward' if _backward_pass() == -1 else 'recompute')

    def forward_ends(self, name: str) -> None:
        ranges = self._of_this_thread()
        if ranges.stack and not ranges.stack[-1].backward:  # otherwise the profiler began inside the stage
            ranges.stack.pop().close()

    def backward_begins(self, name: str) -> None:
        ranges = self._of_this_thread()
        if ranges.index_of(name) is not None:  # the gradient of another output
            return
        if not name.startswith('/'):
            outermost = next((i for i, each in enumerate(ranges.stack) if each.backward), len(ranges.stack))
            ranges.close_from(outermost)
        self._open(name, 'backward')
        if ranges.task != _backward_pass():
            ranges.task = _backward_pass()
            depth = len(ranges.stack) - 1
            Variable._execution_engine.queue_callback(lambda: ranges.close_from(depth))

    def backward_ends(self, name: str) -> None:
        ranges = self._of_this_thread()
        index = ranges.index_of(name)
        if index is not None:
            ranges.close_from(index)

    def _of_this_thread(self) -> _Ranges:
        if not hasattr(self._threads, 'ranges'):
            self._threads.ranges = _Ranges()
        return self._threads.ranges

    def _open(self, name: str, phase: str) -> None:
        stack = self._of_this_thread().stack
        stage = next((each.name for each in reversed(stack) if not each.name.startswith('/')), 'other')
        title = f'{stage}{name}' if name.startswith('/') else name
        stack.append(_Range(name, phase == 'backward', self._open_range(f'{title} {phase}')))


def _backward_pass() -> int:
    """Return the number of the backward pass that this thread runs, -1 outside."""
    return torch._C._current_graph_task_id()


IN_PROFILERS = StageRanges(profiler_range)
"""Hears the stage markers while a profiler records."""
