"""Explains the memory of one training iteration: which stage holds what at the peak."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vrtspike.profiling.allocator_peak import AllocatorWatch, watch_of
from vrtspike.profiling.memory_replay import MemoryReplay, stage_at
from vrtspike.profiling.memory_tracker import MemoryTracker
from vrtspike.profiling.stages import listening
from vrtspike.profiling.timer import HostClock, StageTimer
from vrtspike.records.memory import Holder, Holding, MemoryLine
from vrtspike.records.stage_costs import Owner
from vrtspike.runtime.device import MIB


class EpochClock(HostClock):
    """Nanoseconds since the epoch, as in traces of the allocator."""

    def stamp(self) -> int:
        return time.time_ns()


class ExplainedMemory:
    """Watches the memory of one training iteration.

        explained = ExplainedMemory(model, optimizer, batch)
        with explained.watching():
            loss = model(**batch)
            loss.backward()
            explained.backward_over()
            optimizer.step()
            optimizer.zero_grad()
            explained.optimizer_over()
        line = explained.line(iteration=20, rank=0)

    Every operator is observed, which makes this iteration several times slower.

    Args:
        model: The network.
        optimizers: Those that step in the iteration.
        batch: Nested values with the batch's tensors.
    """

    def __init__(self, model: nn.Module, optimizers: Iterable[torch.optim.Optimizer], batch: Any) -> None:
        self.parameters = list(model.parameters())
        self.device = self.parameters[0].device
        self.optimizers = list(optimizers)
        self._timer = StageTimer(EpochClock())
        self._watch: AllocatorWatch = watch_of(self.device)
        self._tracker = MemoryTracker(self.device, lambda: self._owner().stage, self._watch.after_operator)
        self._tracker.register(Holder('parameters'), [*self.parameters, *model.buffers()])
        self._tracker.register(Holder('gradients'), [parameter.grad for parameter in self.parameters])
        self._tracker.register(Holder('optimizer'), self._optimizer_state())
        self._tracker.register(Holder('batch'), tree_leaves(batch))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the block, which is the iteration from the moment that its batch is there."""
        with ExitStack() as stack:
            for parameter in self.parameters:
                if parameter.requires_grad:
                    hook = parameter.register_post_accumulate_grad_hook(self._gradient_accumulated)
                    stack.callback(hook.remove)
            stack.enter_context(self._tracker)
            stack.enter_context(self._watch)
            stack.enter_context(listening(self._timer))
            self._timer.start('other')
            yield
        self._timeline = self._timer.stop()

    def backward_over(self) -> None:
        """Report the end of the backward pass. The optimizer step follows."""
        self._timer.rebase('optimizer')

    def optimizer_over(self) -> None:
        """Report the end of the optimizer step."""
        self._tracker.reassign(Holder('optimizer'), self._optimizer_state())
        self._timer.rebase('other')

    def line(self, iteration: int, rank: int) -> MemoryLine:
        """Return the record, after the iteration."""
        marks = self._timeline.marks
        running = [(stamp, text_of(owner)) for stamp, owner in marks]
        peak = self._watch.peak(self._tracker.old_bytes, self._tracker.old_ends)
        replay = MemoryReplay(self._tracker.changes)
        holdings = replay.at_peak(peak.at, self._tracker.ends)
        unseen = Holding('unseen', (peak.nbytes - sum(holdings.values())) / MIB)
        began = marks[0][0]
        return MemoryLine(
            iteration=iteration,
            rank=rank,
            device=str(self.device),
            peak_mib=peak.nbytes / MIB,
            peak_in=stage_at(running, peak.at),
            peak_ms=max(peak.at - began, 0) / 1e6,
            holdings=[*(Holding(kind, size / MIB, stage) for (kind, stage), size in holdings.items()), unseen],
            timeline=replay.timeline(began, running),
        )

    def _owner(self) -> Owner:
        return self._timer.marks[-1][1]

    def _gradient_accumulated(self, parameter: Tensor) -> None:
        self._tracker.reassign(Holder('gradients'), [parameter.grad])

    def _optimizer_state(self) -> list[Any]:
        return [leaf for optimizer in self.optimizers for leaf in tree_leaves(list(optimizer.state.values()))]


def text_of(owner: Owner) -> str:
    """Return a stage and its phase in words: 'stage1', 'stage1 backward'."""
    return owner.stage if owner.phase == 'forward' else f'{owner.stage} {owner.phase}'
