"""Counts the multiply-accumulates of every stage once, at the first iteration."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vrtspike.benchmarking.restorer_costs import count_clip
from vrtspike.datasets.sources.sequence import SAMPLE_FRAMES, SPIKE_ARRAYS
from vrtspike.hooks.observing import ObservingHook
from vrtspike.profiling.batches import batch_size
from vrtspike.profiling.flops import CannotCount, Costs
from vrtspike.profiling.forward_count import ForwardCount
from vrtspike.profiling.recomputation import recomputed_macs
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
        self.shapes: tuple[tuple[int, ...], ...] | None = None
        """Of the batch whose first clip was counted, see :func:`shapes_of`."""
        self._inputs: dict[str, Tensor] = {}
        """The counted clip, on the meta device."""
        self._watching = ExitStack()
        self._watched: ForwardCount | None = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count a restorer before the first iteration, and begin to watch any other network."""
        if self.costs is not None:
            return
        model = unwrap_model(runner.model)
        self.shapes = shapes_of(data_batch)
        if not contains_clips(data_batch):
            self._watched = self._watching.enter_context(ForwardCount(model))
            return
        inputs = first_clip(model, data_batch)
        self._inputs = {name: tensor.to('meta') for name, tensor in inputs.items()}
        self.costs = count_clip(model, inputs['blur'], inputs.get('spikes'))
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

    def recomputed_macs(self, model: nn.Module) -> dict[str, int]:
        """Return what activation checkpointing recomputes for the counted clip, by stage; see
        :func:`vrtspike.profiling.recomputation.recomputed_macs`. Call it after an iteration: policies of checkpointing
        may choose in the first one.

        Raises:
            CannotCount: The network was watched: its inputs are not known.
        """
        if not self._inputs:
            raise CannotCount(f'{type(model).__name__} is counted while it trains, which leaves the backward pass out')
        return recomputed_macs(model, **self._inputs)


def contains_clips(batch: Any) -> bool:
    """Return whether a batch is one of ours: blurred clips (B, T, C, H, W)."""
    blur = batch.get('blur') if isinstance(batch, dict) else None
    return isinstance(blur, Tensor) and blur.ndim == 5


def first_clip(model: Any, batch: dict) -> dict[str, Tensor]:
    """Return the first clip of a batch, padded as the network gets it."""
    kinds = (*SAMPLE_FRAMES, *SPIKE_ARRAYS)
    inputs = {name: batch[name][:1] for name in kinds if batch.get(name) is not None}
    inputs = model.data_preprocessor(inputs)
    return {name: inputs[name] for name in ('blur', 'spikes') if inputs.get(name) is not None}


def shapes_of(batch: Any) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of all tensors in a batch, each without its first axis, the number of clips."""
    return tuple(tuple(leaf.shape[1:]) for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))
