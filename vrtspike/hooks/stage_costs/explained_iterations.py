"""Explains the memory of chosen iterations of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner

from vrtspike.errors import describe
from vrtspike.profiling.explained_memory import ExplainedMemory
from vrtspike.profiling.memory_snapshot import record_history, snapshot_path, stop_history, write_snapshot
from vrtspike.records.memory import FILE_NAME, MemoryLine
from vrtspike.records.rank_files import file_of_rank
from vrtspike.records.writer import line_of
from vrtspike.reporting.memory_tables import memory_table
from vrtspike.runtime.distributed import unwrap_model


class ExplainedIterations:
    """Logs what holds the memory at the peak of some iterations, and writes it to ``memory.jsonl``.

    Args:
        iterations: Their numbers, counted from 1.
    """

    def __init__(self, iterations: Sequence[int]) -> None:
        self.iterations = iterations
        self._current: ExplainedMemory | None = None
        """The iteration that is being explained, if any."""

    @contextmanager
    def history(self, device: torch.device) -> Iterator[None]:
        """Record the history of a GPU's allocator in the ``with`` block, for the snapshots."""
        if not self.iterations or device.type != 'cuda':
            yield
            return
        record_history(device)
        try:
            yield
        finally:
            stop_history()

    def watch_next_step(self, runner: Runner, batch: Any) -> None:
        """Watch the next step of the model, also if it ends with an error, and only that."""
        explained = ExplainedMemory(unwrap_model(runner.model), [runner.optim_wrapper.optimizer], batch)
        train_step: Callable[..., Any] = runner.model.train_step

        def watched(*args: Any, **kwargs: Any) -> Any:
            del runner.model.train_step
            with ExitStack() as stack:
                try:
                    stack.enter_context(explained.watching())
                except Exception as error:
                    self._current = None
                    runner.logger.warning(f'The memory of this iteration cannot be explained ({describe(error)})')
                return train_step(*args, **kwargs)

        runner.model.train_step = watched
        self._current = explained

    def backward_over(self) -> None:
        """Report the end of the backward pass."""
        if self._current is not None:
            self._current.backward_over()

    def optimizer_over(self) -> None:
        """Report the end of the optimizer step."""
        if self._current is not None:
            self._current.optimizer_over()

    def iteration_over(self, runner: Runner) -> None:
        """Write and log the explanation, if there is one."""
        explained, self._current = self._current, None
        if explained is not None:
            self.write(runner, explained.line(runner.iter + 1, get_rank()))

    def write(self, runner: Runner, line: MemoryLine) -> None:
        """Write and log an explanation, with a snapshot on a GPU."""
        with Path(runner.work_dir, file_of_rank(FILE_NAME, line.rank)).open('a', encoding='utf-8') as file:
            file.write(line_of(line))
        if line.rank == 0:
            runner.logger.info('\n' + memory_table(line).text())
        if torch.device(line.device).type == 'cuda':
            write_snapshot(snapshot_path(runner.work_dir, line.rank))
            if line.iteration == max(self.iterations):
                stop_history()
