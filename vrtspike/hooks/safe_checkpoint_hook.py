"""Checkpoints that survive a full disk and a killed process."""

from __future__ import annotations

import os
from typing import Any

from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.optim.gradients import accumulated_gradients, is_accumulating, restore_gradients
from vrtspike.registry import HOOKS
from vrtspike.runtime.checkpoint_files import ATOMIC_BACKEND

GRADIENTS_KEY = 'waiting_gradients'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, safe against interruption: at every moment the latest whole checkpoint is on disk.

    A checkpoint is written to a temporary file and renamed. Older ones are removed only after that. A checkpoint
    between two optimizer steps contains the gradients accumulated so far, and a resumed run continues with them.

    Args:
        interval: Iterations (or epochs) between checkpoints; -1 for none but the last.
        by_epoch: Count epochs instead of iterations.
        settings: Further arguments of MMEngine's ``CheckpointHook``, such as ``max_keep_ckpts``, ``save_best``,
            ``out_dir`` (a folder in which a folder of the run's name is made) and ``filename_tmpl``.

    Raises:
        TypeError: ``CheckpointHook`` has no such argument.
    """

    _default_greater_keys = (*CheckpointHook._default_greater_keys, 'psnr', 'ssim')

    def __init__(self, interval: int = -1, by_epoch: bool = False, **settings: Any) -> None:
        super().__init__(interval=interval, by_epoch=by_epoch, backend_args={'backend': ATOMIC_BACKEND}, **settings)
        if self.args:
            raise TypeError(f'SafeCheckpointHook has no argument {", ".join(self.args)}')
        self._gradients: dict[str, Tensor] = {}
        """Accumulated gradients of all processes, for the checkpoint that the main process writes or has read."""

    def before_train(self, runner: Runner) -> None:
        """Set up the folder and restore the gradients of a resumed run. From here on, removals are deferred."""
        super().before_train(runner)
        self.file_backend = DeferredRemovals()
        if self._gradients:
            restore_gradients(runner.model, self._gradients)
            runner.logger.info('The gradients accumulated before the checkpoint were restored.')
            self._gradients = {}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the accumulated gradients."""
        if self._gradients:
            checkpoint[GRADIENTS_KEY] = self._gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the gradients until the resumed training begins."""
        if runner._resume:
            self._gradients = checkpoint.get(GRADIENTS_KEY, {})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if is_accumulating(runner.optim_wrapper):
            self._gradients = accumulated_gradients(runner.model)
        super()._save_checkpoint_with_step(runner, step, meta)
        self._gradients = {}
        self.file_backend.remove_now()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self.file_backend.remove_now()


class DeferredRemovals(LocalBackend):
    """Local files that are removed only by :meth:`remove_now`."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}

    def remove(self, filepath: str | os.PathLike) -> None:
        """Note that the file now at ``filepath`` is to be removed."""
        self._waiting[str(filepath)] = os.stat(filepath).st_ino

    def remove_now(self) -> None:
        """Remove the noted files, except those that another file of the same name has replaced since."""
        for path, inode in self._waiting.items():
            if os.path.exists(path) and os.stat(path).st_ino == inode:
                super().remove(path)
        self._waiting.clear()
