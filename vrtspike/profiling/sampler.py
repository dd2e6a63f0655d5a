"""Samples the costs of the stages of an iteration, without waiting for the device."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.profiling.memory import StageMemory, memory_gauge, peak_memory_mib
from vrtspike.profiling.stages import listening
from vrtspike.profiling.timer import StageTimer, Timeline, clock_of
from vrtspike.records.stage_costs import Sample
from vrtspike.runtime.device import MIB, synchronize
from vrtspike.runtime.readback import Readback


@dataclass
class _Pending:
    """A sampled iteration that the device may not have finished yet."""

    timeline: Timeline
    memory: StageMemory | None
    memory_mib: float | None
    loss: Readback | None
    traced: bool
    fields: dict[str, Any]


class StageSampler:
    """Takes samples of a network's training iterations.

    A network that is compiled as one runs uncompiled in these iterations, because a graph has no stages.

    The training loop reports the events that the network cannot know: the start of an iteration, the arrival of its
    batch, the end of the backward pass, of the optimizer step and of the iteration.

        with StageSampler(model) as sampler:
            sampler.start()
            batch = next(batches)
            sampler.batch_arrived()
            loss = model(batch)
            loss.backward()
            sampler.backward_over()
            optimizer.step()
            sampler.optimizer_over()
            sampler.stop(loss, iteration=1, clips=2, frames=10)
            samples = list(sampler.finished())

    Args:
        model: The network. If the input of a stage needs no gradient, its backward pass ends with the gradients of its
            parameters.
        after_backward: Owner of the time after the last stage of the backward pass: ``'communication'`` if the process
            then waits for the gradients of other processes.
        trace: This many first samples contain what was done when, and the memory in use, for a trace.
    """

    def __init__(self, model: nn.Module, after_backward: str = 'other', trace: int = 0) -> None:
        parameters = list(model.parameters())
        self.model = model
        self.device = parameters[0].device
        self.after_backward = after_backward
        self.timer = StageTimer(clock_of(self.device))
        self.to_trace = trace
        self._memory: StageMemory | None = None
        self._pending: deque[_Pending] = deque()
        self.discarded = 0
        """Samples left out because torch.compile compiled something meanwhile."""
        self._listening = ExitStack()
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self.timer.gradient_accumulated)
            for parameter in parameters
            if parameter.requires_grad
        ]

    def __enter__(self) -> StageSampler:
        return self

    def __exit__(self, *exception: object) -> None:
        self.abandon()
        for hook in self._hooks:
            hook.remove()

    @property
    def sampling(self) -> bool:
        """Whether an iteration is being sampled."""
        return self.timer.marks is not None

    def start(self) -> None:
        """Begin an iteration, which first waits for its batch."""
        if self.device.type == 'cuda':
            self._memory = StageMemory(self.device)
            self.timer.on_mark = self._memory.on_mark
        self.timer.memory_gauge = memory_gauge(self.device) if self.to_trace else None
        self._compiled = compiled_functions()
        if is_compiled_as_one(self.model):
            self._listening.enter_context(torch.compiler.set_stance('force_eager'))
        self._listening.enter_context(listening(self.timer))
        self._began_us = time.time_ns() // 1000
        self.timer.start('data')

    def batch_arrived(self) -> None:
        """Report that the batch has arrived."""
        self.timer.rebase('other')

    def backward_over(self) -> None:
        """Report the end of the backward pass. The optimizer step follows."""
        self.timer.rebase('optimizer', self.after_backward)

    def optimizer_over(self) -> None:
        """Report the end of the optimizer step, also if there was none because gradients accumulate."""
        self.timer.rebase('other')

    def stop(self, loss: Tensor | None = None, **fields: Any) -> None:
        """End the iteration. It is left out if ``torch.compile`` compiled something in it, which takes seconds.

        Args:
            loss: Loss of the iteration. It is read after the device has finished.
            **fields: ``iteration``, ``clips``, ``frames`` and ``rank`` of the sample.
        """
        read = Readback(loss) if isinstance(loss, Tensor) else None
        timeline = self.timer.stop()
        self._listening.close()
        if compiled_functions() != self._compiled:
            self.discarded += 1
            return
        traced = self.to_trace > 0
        self.to_trace -= traced
        fields['began_us'] = self._began_us
        self._pending.append(_Pending(timeline, self._memory, peak_memory_mib(self.device), read, traced, fields))

    def abandon(self) -> None:
        """Discard the iteration that is being sampled, if any."""
        self.timer.marks = None
        self._listening.close()

    def finished(self) -> Iterator[Sample]:
        """Yield the samples that the device has finished, oldest first."""
        while self._pending and self._pending[0].timeline.complete():
            yield _sample(self._pending.popleft())

    def wait(self) -> Iterator[Sample]:
        """Wait for the device, then yield all remaining samples."""
        synchronize(self.device)
        return self.finished()


def is_due(iterations: int, warmup: int, interval: int) -> bool:
    """Return whether to sample the next iteration: every ``interval``-th one, the first after ``warmup`` of them."""
    return iterations >= warmup and (iterations - warmup) % interval == 0


def is_compiled_as_one(model: nn.Module) -> bool:
    """Return whether ``torch.compile`` has compiled a network, or MMEngine its ``train_step``, and not only blocks."""
    compiled = (model, vars(model).get('train_step'))
    return model._compiled_call_impl is not None or any(hasattr(x, '_torchdynamo_orig_callable') for x in compiled)


def compiled_functions() -> int:
    """Return how often this process has compiled a function with ``torch.compile``."""
    dynamo = sys.modules.get('torch._dynamo.utils')
    return dynamo.counters['frames']['total'] if dynamo else 0


def _sample(pending: _Pending) -> Sample:
    loss = pending.loss and pending.loss.values()
    memory = pending.memory
    return Sample(
        iteration_ms=pending.timeline.total_ms(),
        times=pending.timeline.times(),
        host_bound_ms=pending.timeline.host_bound(),
        spans=pending.timeline.spans() if pending.traced else [],
        loss=loss if loss is not None and math.isfinite(loss) else None,
        memory_mib=pending.memory_mib,
        peak_mib={name: peak / MIB for name, peak in memory.peak.items()} if memory else {},
        allocated_mib={name: used / MIB for name, used in memory.allocated.items()} if memory else {},
        **pending.fields,
    )
