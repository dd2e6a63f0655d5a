"""Saves a checkpoint and ends the training when a scheduler sends a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from vrtspike.errors import ConfigError, TrainingStopped
from vrtspike.registry import HOOKS
from vrtspike.runtime.distributed import any_rank

GRACE_S = 30.0


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Ends the run after the iteration in which any process received a signal, with a checkpoint.

    The run exits with status 75 (``vrtspike.errors.TrainingStopped``), and ``--resume`` continues exactly there. A
    second signal ends the process at once.

    Args:
        signals: Names of signals. Schedulers send SIGTERM before they kill a job. SLURM sends SIGUSR1 earlier if it is
            asked to (``--signal=USR1@120``).

    Raises:
        ConfigError: A signal is unknown on this system.
    """

    # After the checkpoint hook, so that an iteration with a regular checkpoint is not saved twice.
    priority = 'LOWEST'

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1')) -> None:
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ConfigError(f'StopSignalHook: this system knows no signal {", ".join(unknown)}')
        self.signals = [getattr(signal, name) for name in signals]
        self.received: str | None = None
        self._former_handlers: dict[int, object] = {}

    def before_train(self, runner: Runner) -> None:
        """Install the handlers, and let data workers outlive a signal for a while: schedulers signal all processes."""
        if threading.current_thread() is threading.main_thread():  # Python allows no other thread to do it
            self._former_handlers = {each: signal.signal(each, self._handle) for each in self.signals}
        for loop in (runner.train_loop, runner.val_loop):
            loader = getattr(loop, 'dataloader', None)
            if loader is not None:
                loader.worker_init_fn = partial(delay_signals_in_worker, loader.worker_init_fn, self.signals)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """End the run if any process received a signal.

        Raises:
            TrainingStopped: The checkpoint is written.
        """
        if not any_rank(self.received is not None):
            return
        self._restore_handlers()
        raise TrainingStopped(
            f'{self.received or "a signal to another process"} stopped the training after iteration {runner.iter + 1}; '
            f'{save_checkpoint(runner)}'
        )

    def after_train(self, runner: Runner) -> None:
        """Restore the handlers."""
        self._restore_handlers()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)
        self._former_handlers = {}


def delay_signals_in_worker(init: Callable[[int], None] | None, signals: Sequence[int], worker: int) -> None:
    """Initialise a worker of a data loader so that a signal ends it only after :data:`GRACE_S`.

    The training needs its workers until it has saved. ``init`` is the loader's own ``worker_init_fn``.
    """
    for number in signals:
        signal.signal(number, lambda *_: signal.setitimer(signal.ITIMER_REAL, GRACE_S))  # SIGALRM ends a process
    if init is not None:
        init(worker)


def save_checkpoint(runner: Runner) -> str:
    """Save a checkpoint after this iteration and return a text that says where."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            hook._save_checkpoint(runner)
            return f'saved as {hook.last_ckpt}: continue with --resume'
    return 'nothing was saved, because the config has no checkpoint hook'
