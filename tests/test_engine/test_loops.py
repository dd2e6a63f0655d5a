from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import DataLoader

from vrtspike.datasets.samplers import OrdinalSampler
from vrtspike.engine import SkippingIterLoop
from vrtspike.errors import DataError


class Ordinals:
    """A data set whose samples are their own ordinals, and which counts what is read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 3

    def __getitem__(self, key):
        self.read.append(key.ordinal)
        return key.ordinal


class FakeRunner:
    """As much of a Runner as the loop needs; it notes the batches that reach an iteration."""

    def __init__(self):
        self.batches, self.calls = [], []
        self.val_loop = None
        self.message_hub = MessageHub(f'loop{id(self)}')
        self.model, self.optim_wrapper = Network(self), None

    def call_hook(self, name, **arguments):
        self.calls.append(name)

    def _maybe_compile(self, name):
        pass


class Network(torch.nn.Module):
    """Notes the batches that reach a training iteration."""

    def __init__(self, runner):
        super().__init__()
        self.runner = runner

    def train_step(self, data, optim_wrapper):
        self.runner.batches.append(data.tolist())


class NotingLoop(SkippingIterLoop):
    def _decide_current_val_interval(self):
        pass


def loader_of(dataset, batch_size=2):
    return DataLoader(dataset, batch_size=batch_size, sampler=OrdinalSampler(dataset))


def run_from(iteration):
    dataset = Ordinals()
    loader = loader_of(dataset)
    loop = NotingLoop(FakeRunner(), loader, max_iters=6)
    loop._iter = iteration
    loop.run()
    return loop, dataset


def test_a_run_sees_the_samples_in_order():
    loop, _dataset = run_from(0)
    assert loop.runner.batches == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11]]
    assert isinstance(loop, IterBasedTrainLoop)
    assert loop.runner.calls[0] == 'before_train'
    assert loop.samples_seen == 12


def test_a_resumed_run_goes_on_with_the_next_sample_without_reading_the_others():
    loop, dataset = run_from(4)
    assert loop.runner.batches == [[8, 9], [10, 11]]
    assert min(dataset.read) == 8


def test_a_finished_run_does_nothing():
    loop, dataset = run_from(6)
    assert loop.runner.batches == []
    assert dataset.read == []


def test_another_loader_goes_on_with_the_next_sample():
    class Replacing(NotingLoop):
        def run_iter(self, data_batch):
            super().run_iter(data_batch)
            if self._iter == 2:
                self.replace_dataloader(loader_of(self.dataloader.dataset, batch_size=3))

    loop = Replacing(FakeRunner(), loader_of(Ordinals()), max_iters=4)
    loop.run()
    assert loop.runner.batches == [[0, 1], [2, 3], [4, 5, 6], [7, 8, 9]]
    assert loop.samples_seen == 10


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_batch_larger_than_the_data_set_that_is_dropped_is_one_message(split):
    empty, full = (DataLoader(Ordinals(), batch_size=size, drop_last=True) for size in (4, 3))
    runner = FakeRunner()
    runner.val_loop = SimpleNamespace(dataloader=empty if split == 'val' else full)
    loop = NotingLoop(runner, empty if split == 'train' else full, max_iters=6)
    message = rf'^{split}_dataloader: 3 clips on 1 process\(es\) make no batch of batch_size=4 with drop_last=True'
    with pytest.raises(DataError, match=message):
        loop.run()
