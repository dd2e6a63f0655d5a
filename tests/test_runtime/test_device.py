import subprocess
import sys

import pytest
import torch

from vrtspike.runtime import device as device_module
from vrtspike.runtime.device import (
    MIB,
    cache_folder,
    call_seconds,
    chosen_device,
    free_memory,
    peak_memory,
    processor_seconds,
    reset_peak_memory,
    usable_cores,
    used_memory,
)

CPU = torch.device('cpu')


def test_usable_cores_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(device_module.os, 'sched_getaffinity', lambda process: {3, 5}, raising=False)
    assert usable_cores() == 2
    monkeypatch.delattr(device_module.os, 'sched_getaffinity')
    monkeypatch.setattr(device_module.os, 'cpu_count', lambda: None)
    assert usable_cores() == 1


def test_a_gpu_counts_what_the_allocator_holds_and_does_not_use(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda device: 70)
    monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda device: 30)
    assert free_memory(torch.device('cuda')) == 100 + 70 - 30


@pytest.mark.parametrize(
    ('has_gpu', 'name', 'expected'), [(True, None, 'cuda'), (False, None, 'cpu'), (True, CPU, 'cpu')]
)
def test_a_gpu_is_chosen_unless_a_device_is_named(monkeypatch, has_gpu, name, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: has_gpu)
    assert chosen_device(name) == torch.device(expected)


def test_free_memory_of_this_machine():
    assert MIB < free_memory(CPU) < 2**50


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='only Linux can reset the peak of a process')
def test_the_peak_follows_an_allocation():
    # In a process of its own: this one may serve the allocation from memory that earlier tests have freed.
    code = (
        'import torch\n'
        'from vrtspike.runtime.device import MIB, peak_memory, reset_peak_memory, used_memory\n'
        'cpu = torch.device("cpu")\n'
        'reset_peak_memory(cpu)\n'
        'before = used_memory(cpu)\n'
        'block = torch.ones(64 * MIB, dtype=torch.uint8)\n'
        'print((peak_memory(cpu) - before) / MIB)\n'
    )
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    assert float(process.stdout) == pytest.approx(64, rel=0.1)


@pytest.mark.parametrize(
    ('clock', 'measured'),
    [('perf_counter', lambda call: call_seconds(call, CPU)), ('process_time', processor_seconds)],
)
def test_the_time_of_a_call_is_that_between_two_readings(monkeypatch, clock, measured):
    readings, calls = iter([10.0, 12.5]), []
    monkeypatch.setattr(device_module.time, clock, lambda: next(readings))
    assert measured(lambda: calls.append(1)) == 2.5
    assert calls == [1]


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert cache_folder() == tmp_path / 'vrtspike'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert cache_folder().parts[-2:] == ('.cache', 'vrtspike')


@pytest.mark.gpu
def test_a_gpu_reports_what_it_holds():
    cuda = torch.device('cuda')
    reset_peak_memory(cuda)
    before = used_memory(cuda)
    block = torch.ones(64 * MIB, dtype=torch.uint8, device=cuda)
    assert used_memory(cuda) - before == len(block)
    assert peak_memory(cuda) - before == len(block)
