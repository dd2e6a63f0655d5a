"""Reading later what a device has computed. A GPU is played by patches, and by the events that the tests release."""

import pytest
import torch

from vrtspike.runtime import readback
from vrtspike.runtime.readback import Readback


class Event:
    """An event that the device has passed when the test says so."""

    passed = False
    waits = 0

    def record(self, stream):
        self.stream = stream

    def query(self):
        return Event.passed

    def synchronize(self):
        Event.waits += 1


class OnGpu(torch.Tensor):
    """A tensor of the CPU that says it is on a GPU."""

    device = torch.device('cuda')


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(Event, 'passed', False)
    monkeypatch.setattr(Event, 'waits', 0)
    monkeypatch.setattr(torch.cuda, 'Event', Event)
    monkeypatch.setattr(torch.cuda, 'current_stream', lambda device: f'stream of {device}')
    monkeypatch.setattr(readback, 'pinned_like', lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))


def test_on_the_host_values_are_ready_and_later_changes_are_not_seen():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    read = Readback(x)
    with torch.no_grad():
        x.zero_()
    assert read.ready()
    assert read.values() == [1.0, 2.0]
    assert Readback(torch.tensor(3.0)).values() == 3.0


@pytest.mark.usefixtures('gpu')
def test_on_a_gpu_it_waits_for_its_own_event_alone():
    read = Readback(torch.tensor([4.0]).as_subclass(OnGpu))
    assert not read.ready()
    assert read._arrived.stream == 'stream of cuda'
    assert Event.waits == 0
    assert read.values() == [4.0]
    assert Event.waits == 1
    Event.passed = True
    assert read.ready()
