"""One line that says how far a training is and when it will be done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vrtspike.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Keeps a line at the foot of the terminal, and logs when the training will be done.

    The line appears on terminals alone. The time left is that of the iterations to come at the pace since the warm-up
    (all that happens between two iterations included) plus that of the validations to come; it is in the log as
    ``eta_s``, in seconds.

    Args:
        warmup: First iterations of a start that tell nothing about the pace.
        clock: Returns seconds.
    """

    priority = 'LOWEST'

    def __init__(self, warmup: int = 5, clock: Callable[[], float] = time.perf_counter) -> None:
        self.warmup = warmup
        self.clock = clock
        self._progress: Progress | None = None
        self._iterations = self._validations = 0
        self._validating_s = 0.0
        self._paced_from: float | None = None
        """When the pace began to be taken, moved on by the time of validations."""

    def before_train(self, runner: Runner) -> None:
        """Show the line."""
        self._iterations = self._validations = 0
        self._validating_s, self._paced_from = 0.0, None
        if is_main_process() and sys.stdout.isatty():
            columns = (TextColumn('training'), BarColumn(), MofNCompleteColumn(), TextColumn('{task.description}'))
            self._progress = Progress(*columns, console=Console(), transient=True)
            self._task = self._progress.add_task('', total=runner.max_iters, completed=runner.iter)
            self._progress.start()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Bring the line and the log up to date."""
        self._iterations += 1
        if self._iterations == self.warmup:
            self._paced_from = self.clock()
        left = self.seconds_left(runner)
        if left is not None:
            runner.message_hub.update_scalar('train/eta_s', left)
        if self._progress is not None:
            loss = (outputs or {}).get('loss')
            text = [f'loss {float(loss):.4g}'] if loss is not None else []
            text += [f'{duration(left)} left'] if left is not None else []
            self._progress.update(self._task, completed=runner.iter + 1, description='  '.join(text))

    def before_val_epoch(self, runner: Runner) -> None:
        """Start the clock of validations."""
        self._validation_began = self.clock()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Stop it, and keep its time out of the pace."""
        took = self.clock() - self._validation_began
        self._validations += 1
        self._validating_s += took
        if self._paced_from is not None:
            self._paced_from += took

    def after_train(self, runner: Runner) -> None:
        """Take the line away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def seconds_left(self, runner: Runner) -> float | None:
        """Return the seconds from the end of this iteration to the end of the run; None during the warm-up."""
        if self._iterations <= self.warmup:
            return None
        pace = (self.clock() - self._paced_from) / (self._iterations - self.warmup)
        left = pace * (runner.max_iters - runner.iter - 1)
        if self._validations:
            left += self._validating_s / self._validations * validations_left(runner)
        return left


def validations_left(runner: Runner) -> int:
    """Return how many validations follow this iteration, the one after the last iteration included."""
    if runner.val_loop is None:
        return 0
    interval, last = runner.train_loop.val_interval, runner.max_iters
    return last // interval - runner.iter // interval + (last % interval != 0)


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    >>> duration(93_784)
    '1 d 2 h'
    >>> duration(75)
    '1 min 15 s'
    """
    units = (('d', 86400), ('h', 3600), ('min', 60), ('s', 1))
    rest, parts = round(seconds), []
    for name, size in units:
        if rest >= size or (name == 's' and not parts):
            parts.append(f'{rest // size} {name}')
        rest %= size
    return ' '.join(parts[:2])
