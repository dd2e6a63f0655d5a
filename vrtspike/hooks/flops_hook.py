"""Counts the multiply-accumulates of every stage once, at the first iteration."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.benchmarking.restorer_costs import count_clip
from vrtspike.hooks.observing import ObservingHook
from vrtspike.profiling.batches import batch_size
from vrtspike.profiling.flops import Costs
from vrtspike.profiling.forward_count import ForwardCount
from vrtspike.registry import HOOKS
from vrtspike.reporting.cost_tables import counted_costs_table
from vrtspike.runtime.distributed import unwrap_model


@HOOKS.register_module()
class FlopsHook(ObservingHook):
    """Counts multiply-accumulates, activations, bytes and parameters of the forward pass, and logs them.

    A restorer runs once on the meta device for one clip of the first batch, which takes seconds and no memory, or on
    the CPU for a small clip if its code needs values. Any other network is watched in its first iteration instead, see
    :class:`~vrtspike.profiling.forward_count.ForwardCount`. :class:`StageCostHook` reports the counts next to its
    times.
    """

    gives = 'counted multiply-accumulates'
    priority = 'HIGH'  # before the hook of stage costs reads the counts

    def __init__(self) -> None:
        self.costs: Costs | None = None
        self._watching = ExitStack()
        self._watched: ForwardCount | None = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count a restorer before the first iteration, and begin to watch any other network."""
        if self.costs is not None:
            return
        model = unwrap_model(runner.model)
        if not holds_clips(data_batch):
            self._watched = self._watching.enter_context(ForwardCount(model))
            return
        self.costs = count_batch(model, data_batch)
        self._log(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Read the counts of a network that was watched."""
        if self._watched is None:
            return
        self.close()
        watched, self._watched = self._watched, None
        self.costs = watched.costs(batch_size(data_batch)[0])
        self._log(runner)

    def close(self) -> None:
        """Stop watching."""
        self._watching.close()

    def _log(self, runner: Runner) -> None:
        if is_main_process():
            runner.logger.info('\n' + counted_costs_table(self.costs).text())


def holds_clips(batch: Any) -> bool:
    """Return whether a batch is one of ours: blurred clips (B, T, C, H, W)."""
    blur = batch.get('blur') if isinstance(batch, dict) else None
    return isinstance(blur, Tensor) and blur.ndim == 5


def count_batch(model: Any, batch: dict) -> Costs:
    """Count one forward pass for the first clip of a batch, padded as the network gets it."""
    inputs = {name: batch[name][:1] for name in ('blur', 'sdm', 'spikes') if batch.get(name) is not None}
    inputs = model.data_preprocessor(inputs)
    return count_clip(model, inputs['blur'], inputs.get('spikes'))
