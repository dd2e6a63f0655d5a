"""Names the stages in the profilers of others: ``torch.profiler``, MMEngine's ``ProfilerHook``, Nsight Systems.

While a PyTorch profiler records, the stage markers open ranges such as ``stage3/attention forward``. For the backward
pass they name the autograd nodes that a stage's forward pass has made: each of them runs inside a range such as
``stage3/attention backward``. A profiler needs nothing else: no listener and no hook.

Why not one range for the whole backward pass of a stage? PyTorch lets nobody in between two nodes. Such a range would
begin inside one node and end inside another. Ranges that overlap so are dropped by Perfetto, and mixed up by NVTX.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile

import torch
from torch.autograd import _get_sequence_nr
from torch.autograd import profiler as torch_profiler
from torch.autograd.graph import Node

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


@dataclass
class _Open:
    """What is open on a thread: a stage or part in its forward pass, or the range of a node in the backward pass."""

    titles: tuple[str, ...]
    """The stage, and the part in it."""
    closers: tuple[Callable[[], object], ...]
    backward: bool = False
    first: int = 0
    """The number that autograd gives to the next node."""
    ended: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)
    """The parts inside, as the numbers of the nodes that they made, and their titles; inner ones come first."""
    named: set[Node] = field(default_factory=set)

    def close(self) -> None:
        """Close the ranges, innermost first."""
        for close in reversed(self.closers):
            close()

    def titles_of(self, number: int) -> tuple[str, ...]:
        """Return the titles of the innermost part that made a node."""
        return next((titles for first, end, titles in self.ended if first <= number < end), self.titles)


class StageRanges:
    """Hears the stage markers and opens ranges.

    Args:
        open_range: Opens a range.
    """

    def __init__(self, open_range: OpenRange) -> None:
        self._open_range = open_range
        self._threads = threading.local()

    def forward_begins(self, name: str) -> None:
        """Open the range of a stage or part; in a backward pass it is recomputed."""
        phase = 'forward' if torch._C._current_graph_task_id() == -1 else 'recompute'
        stage = self._stack[-1].titles[0] if self._stack else 'other'
        titles = (stage, f'{stage}{name}') if name.startswith('/') else (name,)
        closers = (self._open_range(f'{titles[-1]} {phase}'),)
        self._stack.append(_Open(titles, closers, first=_get_sequence_nr()))

    def forward_ends(self, name: str) -> None:
        """Close the range of a stage or part."""
        if not self._stack or self._stack[-1].backward:
            return  # the profiler began inside the stage
        part = self._stack.pop()
        part.close()
        if self._stack:
            self._stack[-1].ended += [*part.ended, (part.first, _get_sequence_nr(), part.titles)]

    def leaves(self, output: Node | None) -> None:
        """Name the nodes that lead to the node of an output of the outermost stage, and gradients of its parameters."""
        forward = [*takewhile(lambda each: not each.backward, reversed(self._stack))]
        if len(forward) != 1 or output is None:
            return
        (stage,) = forward
        waiting = [(output, stage.titles)]
        while waiting:
            node, titles = waiting.pop()
            if node is None or node in stage.named or node._sequence_nr() < stage.first:
                continue
            stage.named.add(node)
            accumulates = not node.next_functions  # its number is the largest, whatever made it
            titles = titles if accumulates else stage.titles_of(node._sequence_nr())
            self._name(node, titles, accumulates)
            waiting += [(before, titles) for before, _ in node.next_functions]

    def _name(self, node: Node, titles: tuple[str, ...], once: bool) -> None:
        """Let a node run inside ranges with these titles: always, or once if it outlives the graph."""

        def begin(_: object) -> None:
            closers = tuple(self._open_range(f'{title} backward') for title in titles)
            self._stack.append(_Open(titles, closers, backward=True))

        def end(*_: object) -> None:
            self._stack.pop().close()
            if once:
                for hook in hooks:
                    hook.remove()

        hooks = node.register_prehook(begin), node.register_hook(end)

    @property
    def _stack(self) -> list[_Open]:
        """What is open on this thread, outermost first."""
        if not hasattr(self._threads, 'stack'):
            self._threads.stack = []
        return self._threads.stack


_in_profilers = StageRanges(profiler_range)
_asked: list[StageRanges] = []


def active_ranges() -> list[StageRanges]:
    """Return what hears the markers now: nothing unless a profiler records or NVTX ranges are asked for."""
    return [*_asked, _in_profilers] if torch_profiler._is_profiler_enabled else _asked


@contextmanager
def nvtx_ranges() -> Iterator[None]:
    """Emit NVTX ranges of all stages in the ``with`` block."""
    ranges = StageRanges(nvtx_range)
    _asked.append(ranges)
    try:
        yield
    finally:
        _asked.remove(ranges)
