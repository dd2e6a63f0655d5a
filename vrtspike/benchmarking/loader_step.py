"""Training steps that wait for their batches: what the number of data workers saves, which a step alone cannot tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from vrtspike.benchmarking.pairs import orders
from vrtspike.benchmarking.training_step import Shape, TrainingStep, training_step
from vrtspike.runtime.device import synchronize

STEPS = 4
"""Timed steps of a round, at least."""


@dataclass
class FedTraining:
    """A training step and the data loader that feeds it; each round begins with workers of its own.

    Args:
        step: Runs on the batch that it is given.
        loader: Endless, without persistent workers: they would read ahead while the other side is timed.
        device: Where the step computes.
    """

    step: TrainingStep
    loader: DataLoader
    device: torch.device

    def round_ms(self) -> float:
        """Return the milliseconds of a step with its batch: the mean of several, after the workers have begun."""
        batches, workers = iter(self.loader), self.loader.num_workers
        self._train(batches, 1 + workers)  # what all workers have read by the first step comes at once
        synchronize(self.device)
        start, steps = time.perf_counter(), max(STEPS, 2 * workers)
        self._train(batches, steps)
        synchronize(self.device)
        return 1e3 * (time.perf_counter() - start) / steps

    def _train(self, batches: Iterator[dict[str, Any]], steps: int) -> None:
        for _ in range(steps):
            self.step.inputs = self.step.model.data_preprocessor(next(batches), training=True)
            self.step()


def fed_training(config: Any, shape: Shape, device: torch.device) -> FedTraining:
    """Return the training step of a config on the batches of its own training data."""
    return FedTraining(training_step(config, shape, device), training_loader(config), device)


def training_loader(config: Any) -> DataLoader:
    """Return the data loader of a config's training, without persistent workers."""
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner

    import vrtspike.datasets  # noqa: F401 - registers what configs name

    settings = {**config.train_dataloader, 'persistent_workers': False}
    with DefaultScope.overwrite_default_scope('vrtspike'):
        return Runner.build_dataloader(settings, seed=0)


def interleaved_fed_ms(sides: dict[str, FedTraining], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of a step of every side, one per round, in turn.

    See :mod:`vrtspike.benchmarking.pairs`.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for name in orders(tuple(sides), rounds):
        times[name].append(sides[name].round_ms())
    return times
