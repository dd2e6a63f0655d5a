"""Times training iterations with their data loader, to compare numbers of data workers."""

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
"""Least number of timed iterations in a round."""


@dataclass
class LoaderStep:
    """A training iteration and its data loader. Each round starts new workers.

    Args:
        step: Runs on a batch.
        loader: Endless, without persistent workers: those would read ahead while another side is timed.
        device: Where the iteration computes.
    """

    step: TrainingStep
    loader: DataLoader
    device: torch.device

    def round_ms(self) -> float:
        """Return the mean milliseconds of an iteration with its batch, measured after the workers have started."""
        batches, workers = iter(self.loader), self.loader.num_workers
        self._train(batches, 1 + workers)  # by the first step, every worker has a batch ready
        synchronize(self.device)
        start, steps = time.perf_counter(), max(STEPS, 2 * workers)
        self._train(batches, steps)
        synchronize(self.device)
        return 1e3 * (time.perf_counter() - start) / steps

    def _train(self, batches: Iterator[dict[str, Any]], steps: int) -> None:
        for _ in range(steps):
            self.step.inputs = self.step.model.data_preprocessor(next(batches), training=True)
            self.step()


def loader_step(config: Any, shape: Shape, device: torch.device) -> LoaderStep:
    """Return the training iteration of a config on batches of its training data."""
    return LoaderStep(training_step(config, shape, device), training_loader(config), device)


def training_loader(config: Any) -> DataLoader:
    """Return the data loader of a config's training, without persistent workers."""
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner

    import vrtspike.datasets  # noqa: F401 - registers what configs name

    settings = {**config.train_dataloader, 'persistent_workers': False}
    with DefaultScope.overwrite_default_scope('vrtspike'):
        return Runner.build_dataloader(settings, seed=0)


def interleaved_loader_ms(sides: dict[str, LoaderStep], rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of an iteration of every side, a value per round; see :mod:`vrtspike.benchmarking.pairs`."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for name in orders(tuple(sides), rounds):
        times[name].append(sides[name].round_ms())
    return times
