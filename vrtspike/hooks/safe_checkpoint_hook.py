"""Checkpoints that survive a full disk and a killed process."""

from __future__ import annotations

import os

from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch import Tensor

from vrtspike.optim.gradients import is_accumulating, restore_gradients, waiting_gradients
from vrtspike.registry import HOOKS
from vrtspike.runtime.checkpoint_files import ASIDE_BACKEND

GRADIENTS_KEY = 'waiting_gradients'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, safe against interruption: at every moment the latest whole checkpoint is on disk.

    Checkpoints are written aside and renamed, and those they supersede are removed only afterwards. One that falls
    between two steps of the optimizer holds the gradients accumulated so far, and a resumed run goes on with them.

    Args:
        interval: Iterations (or epochs) between checkpoints.
        by_epoch: Count epochs instead of iterations.
        max_keep_ckpts: How many to keep; -1 for all.
        save_last: Also save after the last iteration.
        save_best: Validation scalar(s) whose best checkpoint is kept, such as ``'psnr'``.
        rule: ``'greater'`` or ``'less'``; known for psnr and ssim.
        save_begin: Iteration from which on checkpoints are saved.
        out_dir: Folder under which the run's folder of checkpoints is made; the work folder by default.
        published_keys: Keys kept in a copy for publication, written after training.
    """

    _default_greater_keys = (*CheckpointHook._default_greater_keys, 'psnr', 'ssim')

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool = False,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        save_best: str | list[str] | None = None,
        rule: str | list[str] | None = None,
        save_begin: int = 0,
        out_dir: str | None = None,
        published_keys: str | list[str] | None = None,
    ) -> None:
        super().__init__(
            interval=interval,
            by_epoch=by_epoch,
            max_keep_ckpts=max_keep_ckpts,
            save_last=save_last,
            save_best=save_best,
            rule=rule,
            save_begin=save_begin,
            out_dir=out_dir,
            published_keys=published_keys,
            backend_args={'backend': ASIDE_BACKEND},
        )
        self._gradients: dict[str, Tensor] = {}
        """Between two steps: of all processes, for the checkpoint that the first one writes or has read."""

    def before_train(self, runner: Runner) -> None:
        """Set up the folder, from where on removals wait, and take up the gradients of a resumed run."""
        super().before_train(runner)
        self.file_backend = LateRemovals()
        if self._gradients:
            restore_gradients(runner.model, self._gradients)
            runner.logger.info('The gradients accumulated before the checkpoint were restored.')
            self._gradients = {}

    def save_now(self, runner: Runner) -> str:
        """Save after this iteration although none is due, and return the checkpoint's path."""
        self._save_checkpoint(runner)
        return self.last_ckpt

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the gradients that wait for a step."""
        if self._gradients:
            checkpoint[GRADIENTS_KEY] = self._gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep them for the training that goes on."""
        if runner._resume:
            self._gradients = checkpoint.get(GRADIENTS_KEY, {})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if isinstance(runner, Runner) and is_accumulating(runner.optim_wrapper):
            self._gradients = waiting_gradients(runner.model)
        super()._save_checkpoint_with_step(runner, step, meta)
        self._gradients = {}
        self.file_backend.remove_now()

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self.file_backend.remove_now()


class LateRemovals(LocalBackend):
    """Local files whose removal waits until :meth:`remove_now`."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}

    def remove(self, filepath: str | os.PathLike) -> None:
        """Note that the file now at ``filepath`` can go."""
        self._waiting[str(filepath)] = os.stat(filepath).st_ino

    def remove_now(self) -> None:
        """Remove the files noted, save those that another has replaced under the same name since."""
        for path, inode in self._waiting.items():
            if os.path.exists(path) and os.stat(path).st_ino == inode:
                super().remove(path)
        self._waiting.clear()
