"""Counts the multiply-accumulates of every stage once, before the first iteration."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from vrtspike.benchmarking.restorer_costs import count_clip
from vrtspike.hooks.observing import ObservingHook
from vrtspike.profiling.flops import Costs
from vrtspike.registry import HOOKS
from vrtspike.reporting.cost_tables import counted_costs_table
from vrtspike.runtime.distributed import unwrap_model


@HOOKS.register_module()
class FlopsHook(ObservingHook):
    """Counts multiply-accumulates, activations, bytes and parameters for one clip of the first batch, and logs them.

    The network runs once on the meta device, which takes seconds and no memory, or on the CPU for a small clip if its
    code needs values. :class:`StageCostHook` reports the counts next to its times.
    """

    gives = 'counted multiply-accumulates'
    priority = 'HIGH'  # before the hook of stage costs reads the counts

    def __init__(self) -> None:
        self.costs: Costs | None = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count the costs before the first iteration."""
        if self.costs is not None:
            return
        self.costs = count_batch(unwrap_model(runner.model), data_batch)
        if is_main_process():
            runner.logger.info('\n' + counted_costs_table(self.costs).text())


def count_batch(model: Any, batch: dict) -> Costs:
    """Count one forward pass for the first clip of a batch, padded as the network gets it."""
    inputs = {name: batch[name][:1] for name in ('blur', 'sdm', 'spikes') if batch.get(name) is not None}
    inputs = model.data_preprocessor(inputs)
    return count_clip(model, inputs['blur'], inputs.get('spikes'))
