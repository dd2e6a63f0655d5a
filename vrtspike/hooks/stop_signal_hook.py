"""A scheduler's signal: the training saves where it is and ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.errors import ConfigError, TrainingStopped
from vrtspike.hooks.safe_checkpoint_hook import SafeCheckpointHook
from vrtspike.registry import HOOKS

GRACE_S = 30.0


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves a checkpoint after the iteration in which a signal came, on whichever process, and ends the run.

    The run exits with status 75 (``vrtspike.errors.TrainingStopped``), and ``--resume`` goes on exactly there. A second
    signal of the kind ends it at once, as if this hook were not there.

    Args:
        signals: Names of signals: SIGTERM, which schedulers send before they kill, and SIGUSR1, which SLURM sends when
            asked for an early warning (``--signal=USR1@120``).

    Raises:
        ConfigError: A signal is unknown on this system.
    """

    # After the checkpoint hook, so that an iteration whose checkpoint is due is not saved twice.
    priority = 'LOWEST'

    def __init__(self, signals: Sequence[str] = ('SIGTERM', 'SIGUSR1')) -> None:
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ConfigError(f'StopSignalHook: this system knows no signal {", ".join(unknown)}')
        self.signals = [getattr(signal, name) for name in signals]
        self.received: str | None = None
        self._before: dict[int, object] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen, where this is the main thread, which alone may, and let workers stay on: schedulers signal all."""
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._note) for each in self.signals}
        for loop in (runner.train_loop, runner.val_loop):
            loader = getattr(loop, 'dataloader', None)
            if loader is not None:
                loader.worker_init_fn = partial(start_patient, loader.worker_init_fn, self.signals)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """End the run if a signal came to any process.

        Raises:
            TrainingStopped: The checkpoint is written.
        """
        if not anywhere(self.received is not None):
            return
        self._restore()
        raise TrainingStopped(
            f'{self.received or "a signal to another process"} stopped the training after iteration {runner.iter + 1}; '
            f'{saved(runner)}: go on with --resume'
        )

    def after_train(self, runner: Runner) -> None:
        """Leave the signals as they were."""
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def start_patient(start: Callable[[int], None] | None, signals: Sequence[int], worker: int) -> None:
    """Start a data loader's worker that a signal ends only after :data:`GRACE_S`, so that the training can save first.

    Args:
        start: What would have started it.
        signals: Numbers of signals.
        worker: Number of the worker.
    """
    for number in signals:
        signal.signal(number, lambda *_: signal.setitimer(signal.ITIMER_REAL, GRACE_S))  # SIGALRM ends a process
    if start is not None:
        start(worker)


def anywhere(here: bool) -> bool:
    """Return whether something holds on any process; all must ask together."""
    if get_world_size() == 1:
        return here
    flag = torch.tensor(float(here))
    all_reduce(flag, 'max')
    return bool(flag)


def saved(runner: Runner) -> str:
    """Save after this iteration, and say where."""
    for hook in runner.hooks:
        if isinstance(hook, SafeCheckpointHook):
            return f'saved as {hook.save_now(runner)}'
    return 'nothing was saved, since the config has no SafeCheckpointHook'
