"""Logs the number of chunks into which each part divided its map, and the options that had no effect."""

from __future__ import annotations

from typing import Any

from mmengine.dist import master_only
from mmengine.runner import Runner
from torch import nn

from vrtspike.hooks.observing import ObservingHook
from vrtspike.models.layers.chunking.idle_options import idle_options
from vrtspike.models.layers.chunking.part import ChunkedPart, ChunkUse
from vrtspike.registry import HOOKS
from vrtspike.reporting.table import Table


@HOOKS.register_module()
class ChunkReportHook(ObservingHook):
    """Logs the number of chunks of each part, after the first iteration of training and of validation.

    Lines below the table name every option that was set but has no effect at this size, such as a larger
    ``max_batch_tokens`` when ``chunk_size`` decides. Models without chunks log nothing.
    """

    gives = 'the table of chunks'

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Log the chunks of training."""
        self._log_once(runner, 'training')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Log the chunks of validation, where frames are often larger."""
        self._log_once(runner, 'validation')

    @master_only
    def _log_once(self, runner: Runner, mode: str) -> None:
        if mode in self._logged:
            return
        self._logged.add(mode)
        report = chunk_report(runner.model, f'Chunks in {mode}')
        if report:
            runner.logger.info(f'\n{report}')


def chunk_report(model: nn.Module, title: str) -> str:
    """Return a table of the latest chunks of every part, and a line for every option that changes nothing.

    The report is empty if no part of ``model`` has cut a map yet.
    """
    named = [(name, part) for name, part in model.named_modules() if isinstance(part, ChunkedPart) and part.chunk_use]
    if not named:
        return ''
    rows = [[name, *_cells(part.chunk_use), 'auto' if part.auto_chunks else 'rules'] for name, part in named]
    lines = dict.fromkeys(
        f'  {type(part).__name__}: {sentence}.'
        for _, part in named
        if not part.auto_chunks
        for sentence in idle_options(part.chunk_use, part.window)
    )
    table = Table(title=title, columns=['part', 'B', 'map', 'chunk', 'chunks', 'sized by'], rows=rows)
    return '\n'.join([table.text(), *lines])


def _cells(use: ChunkUse) -> list[str]:
    return [str(use.batch), f'{use.size[0]}x{use.size[1]}', f'{use.chunk[0]}x{use.chunk[1]}', str(use.count)]
