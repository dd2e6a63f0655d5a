"""Training iterations with their data loader: when reading costs time, and that no worker outlives its round."""

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vrtspike.benchmarking import loader_step as loader_step_module
from vrtspike.benchmarking.loader_step import STEPS, LoaderStep, interleaved_loader_ms, loader_step, training_loader
from vrtspike.datasets import write_demo
from vrtspike.tuner.measuring import loader_of

TINY = str(Path(__file__).parents[2] / 'configs/vrt_spike_tiny.py')
CPU = torch.device('cpu')
READ_S, STEP_S = 0.5, 0.25  # of the fake clock


class Clock:
    """Time that passes when it is told to. Workers have a copy of their own, so what they do takes no time here."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loader_step_module, 'time', SimpleNamespace(perf_counter=clock))
    return clock


class SlowClips(Dataset):
    """Numbers that take a while to read."""

    def __init__(self, clock):
        self.clock = clock

    def __len__(self):
        return 1000

    def __getitem__(self, i):
        self.clock.seconds += READ_S
        return {'blur': torch.tensor([float(i)])}


class Step:
    """A step that takes a while and keeps its inputs."""

    def __init__(self, clock):
        self.clock = clock
        self.inputs, self.seen = None, []
        self.model = SimpleNamespace(data_preprocessor=lambda batch, training: batch)

    def __call__(self):
        self.clock.seconds += STEP_S
        self.seen.append(self.inputs['blur'].item())


def side_of(workers, clock):
    return LoaderStep(Step(clock), DataLoader(SlowClips(clock), num_workers=workers), CPU)


def test_reading_counts_unless_workers_do_it(clock):
    alone, one, two = (side_of(workers, clock).round_ms() for workers in (0, 1, 2))
    assert alone == 1e3 * (READ_S + STEP_S)
    assert one == two == 1e3 * STEP_S


def test_every_round_begins_anew_and_leaves_no_workers(clock):
    side = side_of(1, clock)
    side.round_ms()
    side.round_ms()
    assert side.step.seen == [float(i) for i in range(2 + STEPS)] * 2
    assert not multiprocessing.active_children()


def test_sides_take_turns():
    turns = []
    sides = {name: SimpleNamespace(round_ms=lambda name=name: turns.append(name) or 1.0) for name in 'ab'}
    assert interleaved_loader_ms(sides, 2) == {'a': [1.0, 1.0], 'b': [1.0, 1.0]}
    assert turns == ['a', 'b', 'b', 'a']


@pytest.fixture
def config(tmp_path):
    """The tiny config with a network of a few thousand parameters and clips of 32 x 32 pixels."""
    demo = dict(train_clips=2, val_clips=1, size=32, steps_per_frame=32)
    root = str(write_demo(tmp_path / 'demo', **demo, progress=False))
    pipeline = [
        dict(type='PairedRandomCrop', size=16),
        dict(type='BinSpikes', representation=dict(type='Voxel', bins=32)),
        dict(type='PackClip'),
    ]
    overrides = {
        'model.backbone': {'_delete_': True, 'type': 'VRTLite', 'embed_dims': [8] * 7, 'depths': [1] * 7},
        'model.spike_encoder.channels': 8,
        'model.start': 'blur',
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.dataset.clip_len': 3,
        'train_dataloader.dataset.pipeline': pipeline,
        **{f'data.{key}': value for key, value in dict(root=root, **demo).items()},
    }
    return loader_of(TINY, overrides, [], cpu=False)({})


def test_batches_are_those_of_the_training(config):
    loader = training_loader(config)
    assert (loader.num_workers, loader.persistent_workers) == (0, False)
    batch = next(iter(loader))
    assert batch['blur'].shape == (2, 3, 3, 16, 16)
    assert batch['spikes'].shape[:2] == (2, 3)
    again = next(iter(training_loader(config)))
    assert torch.equal(batch['blur'], again['blur'])


def test_the_network_takes_what_the_loader_gives(config):
    side = loader_step(config, (2, 3, 16, 16), CPU)
    side.round_ms()
    assert side.step.inputs['sharp'].shape == (2, 3, 3, 16, 16)
    assert any(parameter.grad is not None for parameter in side.step.model.parameters())
