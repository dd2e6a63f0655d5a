"""Logs into how many chunks each part divided its map, and which options had no effect."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.models.layers.chunking.report import chunk_report
from vrtspike.registry import HOOKS


@HOOKS.register_module()
class ChunkReportHook(Hook):
    """Logs, after the first iteration of training and of validation, into how many chunks each part divided its map.

    Lines below the table name every option that was set but has no effect at this size, such as a larger
    ``max_batch_tokens`` when ``chunk_size`` decides. Models without chunks log nothing.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Log the chunks of training."""
        self._log_once(runner, 'training')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Log the chunks of validation, whose frames are often larger."""
        self._log_once(runner, 'validation')

    @master_only
    def _log_once(self, runner: Runner, mode: str) -> None:
        if mode in self._logged:
            return
        self._logged.add(mode)
        report = chunk_report(runner.model, f'Chunks in {mode}')
        if report:
            runner.logger.info(f'\n{report}')
