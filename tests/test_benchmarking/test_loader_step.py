"""Steps that wait for their batches: reading beside a step costs nothing, and no worker outlives its round."""

import multiprocessing
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vrtspike.benchmarking.loader_step import STEPS, FedTraining, fed_training, interleaved_fed_ms, training_loader
from vrtspike.tuner.measuring import loader_of

TINY = str(Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py')
CPU = torch.device('cpu')
READ_S, STEP_S = 0.06, 0.04


class SlowClips(Dataset):
    """Numbers that take a while to read, and no processor."""

    def __len__(self):
        return 1000

    def __getitem__(self, i):
        time.sleep(READ_S)
        return {'blur': torch.tensor([float(i)])}


class Step:
    """A step that takes a while and keeps what it was fed."""

    def __init__(self):
        self.inputs, self.seen = None, []
        self.model = SimpleNamespace(data_preprocessor=lambda batch, training: batch)

    def __call__(self):
        time.sleep(STEP_S)
        self.seen.append(self.inputs['blur'].item())


def fed(workers):
    return FedTraining(Step(), DataLoader(SlowClips(), num_workers=workers), CPU)


def test_what_is_read_beside_the_step_costs_no_time():
    alone, beside, two = (fed(workers).round_ms() for workers in (0, 1, 2))
    assert alone >= 1e3 * (READ_S + STEP_S)
    assert beside < 1e3 * (READ_S + STEP_S / 2)
    assert two < 1e3 * READ_S


def test_every_round_begins_anew_and_leaves_no_workers():
    side = fed(1)
    side.round_ms()
    side.round_ms()
    assert side.step.seen == [float(i) for i in range(2 + STEPS)] * 2
    assert not multiprocessing.active_children()


def test_sides_take_turns():
    turns = []
    sides = {name: SimpleNamespace(round_ms=lambda name=name: turns.append(name) or 1.0) for name in 'ab'}
    assert interleaved_fed_ms(sides, 2) == {'a': [1.0, 1.0], 'b': [1.0, 1.0]}
    assert turns == ['a', 'b', 'b', 'a']


@pytest.fixture
def config(slow_clips):
    """The tiny config on clips that a tenth of a second is spent on reading."""
    return loader_of(TINY, slow_clips, [], cpu=False)({})


def test_batches_are_those_of_the_training(config):
    loader = training_loader(config)
    assert (loader.num_workers, loader.persistent_workers) == (0, False)
    batch = next(iter(loader))
    assert batch['blur'].shape == (2, 3, 3, 16, 16)
    assert batch['spikes'].shape[:2] == (2, 3)
    again = next(iter(training_loader(config)))
    assert torch.equal(batch['blur'], again['blur'])


def test_the_network_takes_what_the_loader_gives(config):
    side = fed_training(config, (2, 3, 16, 16), CPU)
    assert side.round_ms() > 0
    assert side.step.inputs['sharp'].shape == (2, 3, 3, 16, 16)
    assert any(parameter.grad is not None for parameter in side.step.model.parameters())
