"""Seeds every iteration, so that a resumed training draws the same random numbers as an uninterrupted one."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from vrtspike.registry import HOOKS


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds the generators of Python, NumPy and torch before every iteration by (seed, iteration, rank).

    Stochastic depth, dropout and other random layers then do not depend on earlier iterations, validations or workers,
    and a checkpoint needs no generator states to resume exactly.
    """

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed the generators, including those of all GPUs."""
        seed = iteration_seed(runner.seed, runner.iter, get_rank())
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)


def iteration_seed(seed: int, iteration: int, rank: int) -> int:
    """Return a number below 2^63 that mixes its three arguments.

    >>> iteration_seed(0, 5, 0) != iteration_seed(0, 5, 1) != iteration_seed(0, 6, 0)
    True
    """
    return int(np.random.SeedSequence((seed, iteration, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))
