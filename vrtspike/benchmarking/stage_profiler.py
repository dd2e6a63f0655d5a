"""Measures the stages of any network in any training loop."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from vrtspike.errors import VrtSpikeError, require_positive_integers
from vrtspike.profiling.batches import batch_size
from vrtspike.profiling.flops import CannotCount, Costs
from vrtspike.profiling.forward_count import ForwardCount
from vrtspike.profiling.named_stages import NamedStages, Patterns
from vrtspike.profiling.rates import device_rates
from vrtspike.profiling.sampler import StageSampler, is_compiled_as_one, is_due
from vrtspike.profiling.stages import has_listeners
from vrtspike.records.stage_costs import RunLine, Sample
from vrtspike.reporting.cost_tables import measured_costs_table
from vrtspike.runtime.environment import describe_environment


class StageProfiler:
    """Measures what the stages of a network cost in a training loop of your own.

        with StageProfiler(model, {'stem': 'conv1', 'body': 'layer*'}) as profiler:
            for images, labels in loader:
                loss = cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                profiler.step()
        print(profiler.report())

    ``data`` is the time from :meth:`step` to the network's first call, ``optimizer`` that of the ``step()`` of all
    optimizers. What is in no stage, such as the loss and the clipping of gradients, is in ``other``;
    ``with vrtspike.profiling.stage('loss')`` makes it a stage. The first iteration is not measured: its forward pass is
    counted, see :class:`~vrtspike.profiling.forward_count.ForwardCount`.

    Args:
        model: Any network. If it is compiled, what ``torch.compile`` returned.
        stages: Paths of modules by stage, see :class:`~vrtspike.profiling.named_stages.NamedStages`; none are needed
            for a network that marks its stages.
        interval: Measure every ``interval``-th iteration.
        warmup: First iterations that are not measured.
        roofline: Measure the device's rates, once for about a second, and compare the stages with them.

    Raises:
        ConfigError: A pattern matches no module, or a number is below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        stages: Patterns | None = None,
        *,
        interval: int = 1,
        warmup: int = 1,
        roofline: bool = True,
    ) -> None:
        require_positive_integers('StageProfiler', interval=interval, warmup=warmup)
        self.model = model
        self.interval = interval
        self.warmup = warmup
        self.roofline = roofline
        self.samples: list[Sample] = []
        """One per measured iteration."""
        self.iterations = 0
        """How many iterations have ended."""
        self.costs: Costs | None = None
        """What the first forward pass computes."""
        self._notes: list[str] = []
        if is_compiled_as_one(model):
            self._notes.append('the network is compiled as one, and measured iterations run uncompiled')
        self._named = NamedStages(model, stages or {})
        self._block = ExitStack()
        self._dtype = next(model.parameters()).dtype
        self._clips, self._frames = 1, 1

    def __enter__(self) -> StageProfiler:
        self._block.enter_context(self._named)
        self._sampler = self._block.enter_context(StageSampler(self.model))
        self._count = self._block.enter_context(ForwardCount(self.model))
        for handle in (
            self.model.register_forward_pre_hook(self._called, with_kwargs=True),
            register_optimizer_step_pre_hook(lambda *_: self._sampler.backward_over()),
            register_optimizer_step_post_hook(lambda *_: self._sampler.optimizer_over()),
        ):
            self._block.callback(handle.remove)
        self._waits = True
        return self

    def __exit__(self, *exception: object) -> None:
        self.samples.extend(self._sampler.wait())
        if self._sampler.discarded:
            self._notes.append(f'{self._sampler.discarded} iterations are left out: torch.compile compiled in them')
        self._block.close()

    def step(self) -> None:
        """End an iteration. The next one begins and waits for its data."""
        if self.iterations == 0:
            self._read_count()
        self.iterations += 1
        if self._sampler.sampling:
            self._sampler.stop(iteration=self.iterations, clips=self._clips, frames=self._frames)
        self.samples.extend(self._sampler.finished())
        self._waits = True
        if is_due(self.iterations, self.warmup, self.interval):
            self._sampler.start()

    def report(self) -> str:
        """Return the table of the stages: median times, and rates if the network could be counted.

        Raises:
            VrtSpikeError: No iteration was measured.
        """
        if not self.samples:
            raise VrtSpikeError(
                f'StageProfiler measured nothing: {self.iterations} iterations have ended, of which the first '
                f'{self.warmup} are warm-up; call step() at the end of every iteration'
            )
        return measured_costs_table(self.samples, self.record()).text()

    def record(self) -> RunLine:
        """Return the description of the run, as the first line of ``stage_costs.jsonl`` has it."""
        device = next(self.model.parameters()).device
        return RunLine(
            version=1,
            rank=0,
            world_size=1,
            stages=['data', *self._named.in_network(), 'optimizer', 'other'],
            warmup=self.warmup,
            interval=self.interval,
            precision=str(self._dtype).removeprefix('torch.'),
            costs=self.costs and self.costs.counted(),
            uncounted_ops=dict(self.costs.unknown) if self.costs else {},
            rates=device_rates(device, self._dtype) if self.roofline else None,
            notes=[*self._notes, *self._named.limits()],
            **describe_environment(device),
        )

    def _called(self, model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """Receive the first call of the network in an iteration that is counted or measured: its data has arrived."""
        if not (has_listeners() and self._waits):
            return
        self._waits = False
        self._clips, self._frames = batch_size(args or kwargs)
        device = self._sampler.device.type
        if torch.is_autocast_enabled(device):
            self._dtype = torch.get_autocast_dtype(device)
        self._sampler.batch_arrived()

    def _read_count(self) -> None:
        self._count.__exit__()
        try:
            self.costs = self._count.costs(self._clips)
        except CannotCount as error:
            self._notes.append(f'no counts and no rates: {error}')
