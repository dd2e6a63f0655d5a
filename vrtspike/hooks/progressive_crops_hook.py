"""Trains on small crops first and on large ones later."""

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
    """Changes the crop size and the batch size of the training data in phases.

    Small crops cost less and teach the network most of what it learns. The last phase shows it large motions. The order
    of the samples does not change, and a resumed run continues in the right phase.

    Args:
        phases: One dict per phase with ``crop`` (side, or (height, width)), optionally ``batch_size`` (by default the
            data loader's), and the length of the phase: ``iters`` in iterations, or ``ratio`` as a share of the run,
            which a shortened run keeps. The last phase lasts to the end and has no length.
        transform: Index of the crop in the pipeline of ``train_dataloader.dataset``.

    Raises:
        ConfigError: A phase is incomplete, or the transform has no ``size``.
    """

    # Before the hooks that look at the next batches.
    priority = 'VERY_HIGH'

    def __init__(self, phases: Sequence[dict[str, Any]], transform: int = 0) -> None:
        for i, phase in enumerate(phases):
            lengths = [key for key in ('iters', 'ratio') if key in phase]
            if (
                phase.keys() - {'crop', 'batch_size', *lengths}
                or 'crop' not in phase
                or len(lengths) != (i < len(phases) - 1)
                or not phase.get('iters', 1) >= 1
                or not 0 < phase.get('ratio', 0.5) < 1
            ):
                raise ConfigError(
                    f'ProgressiveCropsHook: phases[{i}] is {dict(phase)}; expected crop, optionally batch_size, and in '
                    'every phase but the last either iters of at least 1 or a ratio between 0 and 1'
                )
        if sum(phase.get('ratio', 0) for phase in phases) >= 1:
            raise ConfigError('ProgressiveCropsHook: the ratios add up to 1 or more, and leave no last phase')
        self.phases = [dict(phase) for phase in phases]
        self.transform = transform
        self._phase: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Enter the phase of the first iteration."""
        self._enter(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Enter the next phase if this one has ended."""
        if runner.iter + 1 < runner.max_iters:
            self._enter(runner, runner.iter + 1)

    def phase_at(self, iteration: int, max_iters: int) -> int:
        """Return the index of the phase of an iteration; both counted from 0.

        Args:
            iteration: The iteration.
            max_iters: Length of the run in iterations.
        """
        end = 0
        for i, phase in enumerate(self.phases[:-1]):
            end += phase['iters'] if 'iters' in phase else max(1, round(phase['ratio'] * max_iters))
            if iteration < end:
                return i
        return len(self.phases) - 1

    def _enter(self, runner: Runner, iteration: int) -> None:
        i = self.phase_at(iteration, runner.max_iters)
        if i == self._phase:
            return
        self._phase = i
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
