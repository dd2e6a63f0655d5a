"""Counts the multiply-accumulates of every stage once, before the first iteration."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vrtspike.benchmarking.restorer_costs import count_clip
from vrtspike.hooks.observing import ObservingHook
from vrtspike.profiling.flops import Costs
from vrtspike.profiling.recomputation import recomputed_macs
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
        self.shapes: tuple[tuple[int, ...], ...] | None = None
        """Of the batch whose first clip was counted, see :func:`shapes_of`."""
        self._inputs: dict[str, Tensor] = {}
        """The counted clip, on the meta device."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count the costs before the first iteration."""
        if self.costs is not None:
            return
        model = unwrap_model(runner.model)
        self.shapes = shapes_of(data_batch)
        inputs = first_clip(model, data_batch)
        self._inputs = {name: tensor.to('meta') for name, tensor in inputs.items()}
        self.costs = count_clip(model, inputs['blur'], inputs.get('spikes'))
        if is_main_process():
            runner.logger.info('\n' + counted_costs_table(self.costs).text())

    def recomputed_macs(self, model: nn.Module) -> dict[str, int]:
        """Return what activation checkpointing recomputes for the counted clip, by stage; see
        :func:`vrtspike.profiling.recomputation.recomputed_macs`. Call it after an iteration: policies of checkpointing
        may choose in the first one.
        """
        return recomputed_macs(model, **self._inputs)


def first_clip(model: Any, batch: dict) -> dict[str, Tensor]:
    """Return the first clip of a batch, padded as the network gets it."""
    inputs = {name: batch[name][:1] for name in ('blur', 'sdm', 'spikes') if batch.get(name) is not None}
    inputs = model.data_preprocessor(inputs)
    return {name: inputs[name] for name in ('blur', 'spikes') if inputs.get(name) is not None}


def shapes_of(batch: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of all tensors in a batch, each without its first axis, the number of clips."""
    return tuple(tuple(leaf.shape[1:]) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))
