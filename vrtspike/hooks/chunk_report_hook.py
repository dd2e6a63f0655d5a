"""How many chunks each head used, and which options changed nothing."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.models.layers.chunking.report import chunk_report
from vrtspike.registry import HOOKS


@HOOKS.register_module()
class ChunkReportHook(Hook):
    """Logs, after the first iteration of training and of validation, into how many chunks each part cut its map.

    A line below the table names every option that was set and changes nothing at this size, such as a larger
    ``max_batch_tokens`` where ``chunk_size`` decides. Models without chunks log nothing.
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Log what training does."""
        self._tell(runner, 'training')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Log what validation does: its frames are often larger."""
        self._tell(runner, 'validation')

    @master_only
    def _tell(self, runner: Runner, mode: str) -> None:
        if mode in self._told:
            return
        self._told.add(mode)
        report = chunk_report(runner.model, f'Chunks in {mode}')
        if report:
            runner.logger.info(f'\n{report}')
