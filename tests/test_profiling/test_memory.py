"""Peak memory of a process, and of the GPU it trains on."""

import subprocess
import sys

import pytest
import torch

from vrtspike.profiling import memory
from vrtspike.profiling.memory import StageMemory, left_out_of_peak, peak_memory_mib, reset_stage_peak
from vrtspike.records.stage_costs import Owner
from vrtspike.runtime.device import MIB

CPU = torch.device('cpu')
FIRST, SECOND = (torch.device('cuda', i) for i in range(2))
PRINT_PEAK = """
import torch
from vrtspike.profiling.memory import peak_memory_mib
print(peak_memory_mib(torch.device('cpu')))
"""


def test_it_is_the_process_own_and_not_that_of_its_parent():
    def of_child():
        return float(subprocess.run([sys.executable, '-c', PRINT_PEAK], capture_output=True, text=True).stdout)

    alone = of_child()
    held = torch.ones(int(2 * alone) * 2**18)  # twice what the child needs
    assert peak_memory_mib(CPU) > 2 * alone
    assert of_child() == pytest.approx(alone, rel=0.2)
    assert held.numel()


class Allocators:
    """The counters of two GPUs."""

    def __init__(self):
        self.now = {FIRST: 0, SECOND: 0}
        self.peak = dict(self.now)
        self.emptied = 0

    def allocate(self, device, mib):
        self.now[device] += mib * MIB
        self.peak[device] = max(self.peak[device], self.now[device])

    def reset(self, device):
        self.peak[device] = self.now[device]

    def empty_cache(self):
        self.emptied += 1


@pytest.fixture
def gpus(monkeypatch):
    allocators = Allocators()
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: allocators.now[device])
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda device: allocators.peak[device])
    monkeypatch.setattr(torch.cuda, 'reset_peak_memory_stats', allocators.reset)
    monkeypatch.setattr(torch.cuda, 'empty_cache', allocators.empty_cache)
    monkeypatch.setattr(memory, '_peak_before_reset', memory.Counter())
    return allocators


def test_a_run_on_the_cpu_of_a_machine_with_a_gpu_reports_resident_memory(gpus):
    assert peak_memory_mib(CPU) > 50


def test_every_gpu_has_its_own_peak(gpus):
    gpus.allocate(FIRST, 100)
    gpus.allocate(SECOND, 30)
    assert (peak_memory_mib(FIRST), peak_memory_mib(SECOND)) == (100, 30)
    reset_stage_peak(SECOND)
    gpus.allocate(SECOND, -20)
    gpus.reset(SECOND)  # as the logger does
    assert (peak_memory_mib(FIRST), peak_memory_mib(SECOND)) == (100, 30)


def test_a_stage_is_measured_on_its_device(gpus):
    gpus.allocate(SECOND, 10)
    gpus.allocate(FIRST, 500)
    stages = StageMemory(SECOND)
    gpus.allocate(FIRST, 500)
    gpus.allocate(SECOND, 40)
    gpus.allocate(SECOND, -30)
    stages.on_mark(Owner('body'), Owner('loss'))
    assert stages.peak == {'body': 50 * MIB}
    assert stages.allocated == {'body': 10 * MIB}


def test_what_is_left_out_neither_raises_nor_lowers_the_peak(gpus):
    gpus.allocate(FIRST, 100)
    gpus.allocate(FIRST, -60)
    with left_out_of_peak(FIRST):
        gpus.allocate(FIRST, 2400)
        gpus.allocate(FIRST, -2400)
    assert peak_memory_mib(FIRST) == 100
    assert gpus.emptied == 1
    gpus.allocate(FIRST, 70)
    assert peak_memory_mib(FIRST) == 110


def test_nothing_of_a_gpu_is_touched_on_a_cpu(gpus):
    with left_out_of_peak(CPU):
        pass
    assert gpus.emptied == 0
