"""Counts the multiply-accumulates of every stage once, at the start of a training."""

from __future__ import annotations

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from vrtspike.hooks.observing import ObservingHook
from vrtspike.profiling.flops import Costs, count_costs
from vrtspike.registry import HOOKS
from vrtspike.reporting.cost_tables import counted_costs_table
from vrtspike.runtime.distributed import unwrap_model


@HOOKS.register_module()
class FlopsHook(ObservingHook):
    """Counts multiply-accumulates, activations, bytes and parameters for one clip of the first batch, and logs them.

    The network runs once on the meta device, which takes seconds and no memory. :class:`StageCostHook` reports the
    counts next to its times.
    """

    gives = 'counted multiply-accumulates'
    priority = 'HIGH'  # before the hook of stage costs reads the counts

    def __init__(self) -> None:
        self.costs: Costs | None = None
        self.clip_shape: tuple[int, int, int] | None = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Count, before the first iteration."""
        if self.costs is not None:
            return
        model = unwrap_model(runner.model)
        blur, spikes = data_batch['blur'][:1], data_batch.get('spikes')
        inputs = model.data_preprocessor({'blur': blur} | ({} if spikes is None else {'spikes': spikes[:1]}))
        inputs = {name: inputs[name] for name in ('blur', 'spikes') if name in inputs}
        self.costs = count_costs(model, **inputs)
        self.clip_shape = (inputs['blur'].shape[1], *inputs['blur'].shape[3:])
        if is_main_process():
            runner.logger.info('\n' + counted_costs_table(self.costs, self.clip_shape).text())
