"""Small crops first, large ones later."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.errors import ConfigError
from vrtspike.registry import HOOKS


@HOOKS.register_module()
class ProgressiveCropsHook(Hook):
    """Changes crop and batch size of the training data as the training goes on.

    Small crops cost less and teach the network most of what it learns; the last phase shows it the large motions. The
    samples go on in their order, and a resumed run finds itself in the right phase.

    Args:
        phases: Each a dict of ``crop`` (side, or (height, width)), and optionally ``iters``, how many iterations it
            lasts (the last phase lasts to the end and has none), and ``batch_size``, by default the data loader's.
        transform: Place of the crop in the pipeline of ``train_dataloader.dataset``.

    Raises:
        ConfigError: The phases do not follow each other, or the transform there has no ``size``.
    """

    # Before the hooks that look at the batches to come.
    priority = 'VERY_HIGH'

    def __init__(self, phases: Sequence[dict[str, Any]], transform: int = 0) -> None:
        for i, phase in enumerate(phases):
            unknown = phase.keys() - {'crop', 'iters', 'batch_size'}
            lasting = 'iters' in phase
            if unknown or 'crop' not in phase or lasting != (i < len(phases) - 1) or phase.get('iters', 1) < 1:
                raise ConfigError(
                    f'ProgressiveCropsHook: phases[{i}] is {dict(phase)}; expected crop, optionally batch_size, and '
                    'iters of at least 1 in every phase but the last'
                )
        self.phases = [dict(phase) for phase in phases]
        self.transform = transform
        self._now: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Begin with the phase that the iteration belongs to."""
        self._enter(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Begin the next phase where this one ends."""
        if runner.iter + 1 < runner.max_iters:
            self._enter(runner, runner.iter + 1)

    def phase_at(self, iteration: int) -> int:
        """Return which phase an iteration, counted from 0, belongs to."""
        end = 0
        for i, phase in enumerate(self.phases[:-1]):
            end += phase['iters']
            if iteration < end:
                return i
        return len(self.phases) - 1

    def _enter(self, runner: Runner, iteration: int) -> None:
        i = self.phase_at(iteration)
        if i == self._now:
            return
        self._now = i
        settings = copy.deepcopy(runner.cfg.train_dataloader)
        pipeline = settings.dataset.pipeline
        if 'size' not in pipeline[self.transform]:
            raise ConfigError(
                f'ProgressiveCropsHook: train_dataloader.dataset.pipeline.{self.transform} is '
                f'{pipeline[self.transform].type}, which has no size; point transform at the crop'
            )
        pipeline[self.transform].size = self.phases[i]['crop']
        settings.batch_size = self.phases[i].get('batch_size', settings.batch_size)
        runner.train_loop.replace_dataloader(runner.build_dataloader(settings, seed=runner.seed))
        runner.logger.info(
            f'From iteration {iteration + 1} on: crops of {pipeline[self.transform].size}, batches of '
            f'{settings.batch_size} on each process.'
        )
