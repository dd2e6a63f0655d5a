"""Saves what a training with adapters changes, alone, in a small file."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.runner import Runner

from vrtspike.hooks.observing import ObservingHook
from vrtspike.models.lora import trained_state
from vrtspike.registry import HOOKS
from vrtspike.runtime.atomic_write import atomic_write
from vrtspike.runtime.checkpoint_files import write_checkpoint_file
from vrtspike.runtime.distributed import unwrap_model

FILE = 'adapters.pth'


@HOOKS.register_module()
class AdaptersHook(ObservingHook):
    """Writes ``adapters.pth`` into the run's folder with every checkpoint: the trained part of its weights.

    The file contains ``state_dict``, the adapters and all other trained parameters, and ``meta`` with ``iter``.
    ``tools/merge_adapters.py`` merges it with the weights that the training started from.
    """

    gives = f'{FILE} of this checkpoint'
    priority = 'VERY_LOW'  # after EMAHook, which puts averaged weights into the checkpoint

    @master_only
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the file."""
        weights = checkpoint['state_dict']
        names = [name for name in trained_state(unwrap_model(runner.model)) if name in weights]
        content = {'state_dict': {name: weights[name].cpu() for name in names}, 'meta': {'iter': runner.iter}}
        with atomic_write(Path(runner.work_dir, FILE)) as aside:
            write_checkpoint_file(aside, content)
