"""The counter on the meta device, which stands for the GPU here."""

import inspect

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vrtspike.benchmarking.fake_gpu.counter import OUTSIDE, StepCounter
from vrtspike.models.layers.mlp import GatedMLP


def test_operators_of_the_device_are_recorded_and_its_memory_is_followed():
    with StepCounter('meta') as counter:
        x = torch.empty(1000, device='meta')  # 4,000 bytes: 8 blocks
        y = x + 1
        assert counter.live_bytes == 2 * 4096
        del x
        z = y.view(10, 100) * y.view(10, 100)
        assert counter.live_bytes == 2 * 4096
        del y, z
    assert [each.name for each in counter.operations] == ['add', 'mul']
    assert (counter.live_bytes, counter.peak_bytes) == (0, 2 * 4096)
    assert not counter.waits + counter.copies + counter.host_operations


def test_a_reset_keeps_what_is_in_memory():
    counter = StepCounter('meta')
    weight = torch.empty(128, device='meta')
    counter.hold(weight)
    counter.hold(weight.view(8, 16))
    counter.reset()
    assert counter.peak_bytes == counter.live_bytes == 512


def test_what_the_host_does_is_counted_by_name():
    with StepCounter('meta') as counter:
        torch.arange(4).add(1)
    assert counter.host_operations == {'arange': 1, 'add': 1}


def test_copies_between_host_and_device_are_counted_but_numbers_are_not():
    host = torch.empty(3)
    with StepCounter('meta') as counter:
        x = host.to('meta')
        torch.mul(x, torch.tensor(2.0))
    assert counter.copies == {'_to_copy at outside of vrtspike': 1}
    assert [each.name for each in counter.operations] == ['mul']


def test_a_value_that_is_read_is_a_wait_and_its_value_is_one():
    with FakeTensorMode(), StepCounter('meta') as counter:
        x = torch.empty(3, device='meta')
        assert float(x.sum()) == 1.0
        assert bool((x > 0).all())
        assert torch.ones(2, dtype=torch.int64).tolist() == [1, 1]
    assert counter.waits == {'outside of vrtspike': 2}


def test_operators_and_their_gradients_have_the_line_that_called_them():
    lines, first = inspect.getsourcelines(GatedMLP.gated)
    line = first + next(i for i, text in enumerate(lines) if 'self.fc11(x), self.fc12(x)' in text)
    network = GatedMLP(4, 8).to('meta')
    with StepCounter('meta') as counter:
        x = torch.empty(3, 4, device='meta')
        network(x).sum().backward()
    at_line = [each.name for each in counter.operations if each.line == f'models/layers/mlp.py:{line}']
    assert at_line == ['addmm', 'addmm', 'mm', 'sum', 'mm', 'sum']
    assert [each.name for each in counter.operations if each.line == OUTSIDE] == ['sum', 'ones_like']
