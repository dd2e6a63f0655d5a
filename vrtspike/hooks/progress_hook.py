"""A progress line in the terminal, and the estimated time left in the log."""

from __future__ import annotations

import sys

from mmengine.dist import is_main_process
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vrtspike.hooks.iteration_clock import TimedHook, iteration_clock
from vrtspike.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(TimedHook):
    """Keeps a progress line at the bottom of the terminal, and logs the remaining time of the training.

    The line appears only on terminals. The time left is the number of remaining iterations times the pace since the
    warm-up (which includes everything between two iterations), plus the time of the remaining validations. The log has
    it as ``eta_s``, in seconds.

    Args:
        warmup: Number of first iterations after a start that are left out of the pace.
    """

    gives = 'the progress line and the time left'
    priority = 'LOWEST'

    def __init__(self, warmup: int = 5) -> None:
        self.warmup = warmup
        self._progress: Progress | None = None

    def before_train(self, runner: Runner) -> None:
        """Show the line."""
        super().before_train(runner)
        if is_main_process() and sys.stdout.isatty():
            columns = (TextColumn('training'), BarColumn(), MofNCompleteColumn(), TextColumn('{task.description}'))
            self._progress = Progress(*columns, console=Console(), transient=True)
            self._task = self._progress.add_task('', total=runner.max_iters, completed=runner.iter)
            self._progress.start()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Update the line and the log."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        left = self.seconds_left(runner)
        if left is not None:
            runner.message_hub.update_scalar('train/eta_s', left)
        if self._progress is not None:
            scalars = runner.message_hub.log_scalars  # the loss of this iteration may still be on its way from the GPU
            text = [f'loss {scalars["train/loss"].current():.4g}'] if 'train/loss' in scalars else []
            text += [f'{duration(left)} left'] if left is not None else []
            self._progress.update(self._task, completed=runner.iter + 1, description='  '.join(text))

    def after_train(self, runner: Runner) -> None:
        """Remove the line."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def seconds_left(self, runner: Runner) -> float | None:
        """Return the seconds from the end of this iteration to the end of the run; None during the warm-up."""
        clock = iteration_clock(runner)
        pace = clock.seconds_per_iteration(self.warmup)
        if pace is None:
            return None
        left = pace * (runner.max_iters - runner.iter - 1)
        if clock.validations_s:
            left += sum(clock.validations_s) / len(clock.validations_s) * validations_left(runner)
        return left


def validations_left(runner: Runner) -> int:
    """Return how many validations follow this iteration, including the one after the last iteration."""
    if runner.val_loop is None:
        return 0
    interval, last = runner.train_loop.val_interval, runner.max_iters
    return last // interval - runner.iter // interval + (last % interval != 0)


def duration(seconds: float) -> str:
    """Return seconds as text in the two largest units that fit.

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
