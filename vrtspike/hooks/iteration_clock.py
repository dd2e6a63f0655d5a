"""Measures iteration times once for all hooks of a training."""

from __future__ import annotations

import time

from mmengine.runner import Runner

from vrtspike.hooks.observing import ObservingHook


class IterationClock:
    """Measures on the host when the iterations and validations of a training begin and end.

    It does not wait for a GPU. MMEngine reads the loss at the end of each iteration and waits for it, so host and GPU
    end an iteration together. The GPU's own times within an iteration come from the stage sampler.

    Several hooks report the same event. For the beginning and end of an iteration and the beginning of a validation the
    first report counts, for the end of a validation the last.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a training: forget what was measured."""
        self.iteration_ms: list[float] = []
        """From the arrival of the batch to the end of the iteration: forward pass, backward pass and step."""
        self.data_ms: list[float] = []
        """From the end of an iteration to the arrival of the next batch. The first iteration and the first one after a
        validation have no value."""
        self.ended_s: list[float] = []
        """When each iteration ended, in seconds, on a clock that stops during validations."""
        self.validations_s: list[float] = []
        """Duration of each validation in seconds."""
        self._began: float | None = None
        self._ended: float | None = None
        self._validation_began: float | None = None

    @property
    def iterations(self) -> int:
        """How many iterations have ended since the training began."""
        return len(self.iteration_ms)

    def begin_iteration(self) -> None:
        """Report that the batch has arrived."""
        if self._began is not None:
            return
        self._validation_began = None
        self._began = now()
        if self._ended is not None:
            self.data_ms.append((self._began - self._ended) * 1e3)

    def end_iteration(self) -> None:
        """Report that the optimizer has stepped."""
        if self._began is None:
            return
        self._ended = now()
        self.iteration_ms.append((self._ended - self._began) * 1e3)
        self.ended_s.append(self._ended - sum(self.validations_s))
        self._began = None

    def begin_validation(self) -> None:
        """Report that a validation begins."""
        if self._validation_began is None:
            self._validation_began = now()
            self.validations_s.append(0.0)
            self._ended = None

    def end_validation(self) -> None:
        """Report that the validation has ended."""
        if self._validation_began is not None:
            self.validations_s[-1] = now() - self._validation_began

    def seconds_per_iteration(self, warmup: int) -> float | None:
        """Return the mean time of an iteration since the end of iteration ``warmup``, or None before that.

        It includes everything that happens between two iterations except validations.
        """
        warmup = max(warmup, 1)  # the pace begins at the end of an iteration
        if self.iterations <= warmup:
            return None
        return (self.ended_s[-1] - self.ended_s[warmup - 1]) / (self.iterations - warmup)


def now() -> float:
    """Return the host's time in seconds."""
    return time.perf_counter()


def iteration_clock(runner: Runner) -> IterationClock:
    """Return the clock of a runner; all its hooks share it."""
    return vars(runner).setdefault('iteration_clock', IterationClock())


class TimedHook(ObservingHook):
    """Base class of observing hooks that read the runner's :class:`IterationClock` and report the events to it.

    A subclass that overrides one of these methods calls the base method first.
    """

    def before_train(self, runner: Runner) -> None:
        """Restart the clock."""
        iteration_clock(runner).start()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Report that the batch has arrived."""
        iteration_clock(runner).begin_iteration()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Report that the optimizer has stepped."""
        iteration_clock(runner).end_iteration()

    def before_val_epoch(self, runner: Runner) -> None:
        """Report that a validation begins."""
        iteration_clock(runner).begin_validation()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report that a validation has ended."""
        iteration_clock(runner).end_validation()
