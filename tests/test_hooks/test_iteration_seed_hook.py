import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.hooks import Hook

from vrtspike.hooks.iteration_seed_hook import iteration_seed

SMALL = st.integers(0, 10**6)


class Draws(Hook):
    """Notes what the three generators give in an iteration, and disturbs them after it."""

    priority = 'LOWEST'

    def __init__(self):
        self.drawn = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.drawn[runner.iter] = (random.random(), np.random.rand(), torch.rand(1).item())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        torch.rand(runner.iter + 3)


@given(SMALL, SMALL, st.integers(0, 4096))
def test_seeds_are_what_torch_takes(seed, iteration, rank):
    assert 0 <= iteration_seed(seed, iteration, rank) < 2**63


def test_seeds_of_iterations_and_ranks_differ():
    seeds = [iteration_seed(0, iteration, rank) for iteration in range(100) for rank in range(8)]
    assert len(set(seeds)) == 800


def test_a_resumed_run_draws_the_same_numbers(make_runner, tmp_path):
    checkpoint = {'default_hooks': {'checkpoint': {'type': 'SafeCheckpointHook', 'interval': 1}}}
    straight, resumed = Draws(), Draws()
    make_runner(4, hooks=[{'type': 'IterationSeedHook'}, straight], **checkpoint).train()
    saved = str(tmp_path / 'run' / 'iter_2.pth')
    make_runner(4, hooks=[{'type': 'IterationSeedHook'}, resumed], load_from=saved, resume=True, **checkpoint).train()
    assert len(set(straight.drawn.values())) == 4
    assert resumed.drawn == {i: straight.drawn[i] for i in (2, 3)}
