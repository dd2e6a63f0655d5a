import time

import pytest
import torch

from vrtspike.profiling import allocator_peak
from vrtspike.profiling.allocator_peak import AllocatorPeak, CpuWatch, CudaWatch, highest, watch_of
from vrtspike.runtime.device import MIB

GPU = torch.device('cuda', 1)


def test_the_highest_sum_in_the_order_of_time():
    assert highest([(5, -3), (0, 10), (7, 2), (3, 4)]) == AllocatorPeak(14, 3)


def test_allocations_inside_of_operators_count_on_a_cpu():
    watch = CpuWatch()
    x = torch.ones(MIB)  # 4 MiB that were there before
    with watch:
        before = time.time_ns()
        y = x + 1
        del y
        # log_softmax of a transposed map copies it first, inside of the operator
        torch.log_softmax(x.view(1024, 1024).t(), 0)
        after = time.time_ns()
    peak = watch.peak(4 * MIB, [])
    assert peak.nbytes >= 4 * MIB + 8 * MIB
    assert before <= peak.at <= after


def test_memory_from_before_counts_until_it_is_freed():
    watch = CpuWatch()
    with watch:
        freed = time.time_ns()
        x = torch.ones(2 * MIB)
    assert watch.peak(100, [(freed, -100)]).nbytes == x.nbytes
    assert watch.peak(100, []).nbytes == x.nbytes + 100


def test_what_an_earlier_trace_saw_begin_is_old():
    with CpuWatch():
        x = torch.ones(2 * MIB)
    watch = CpuWatch()
    with watch:
        freed = time.time_ns()
        nbytes = x.nbytes
        del x
        y = torch.ones(MIB)
    assert watch.peak(nbytes, [(freed, -nbytes)]).nbytes == nbytes  # freed once, not twice
    assert watch.peak(nbytes, []).nbytes == nbytes + y.nbytes


def test_on_a_gpu_the_allocators_own_peak_counts(monkeypatch):
    peaks, times = iter([100, 100, 300, 300, 200]), iter(range(10))
    monkeypatch.setattr(allocator_peak, 'reset_stage_peak', lambda device: None)
    monkeypatch.setattr(allocator_peak, 'peak_memory', lambda device: next(peaks) if device == GPU else None)
    monkeypatch.setattr(allocator_peak.time, 'time_ns', lambda: next(times))
    watch = watch_of(GPU)
    assert isinstance(watch, CudaWatch)
    with watch:
        for _ in range(3):
            watch.after_operator()
    assert watch.peak(12345, []) == AllocatorPeak(300, 1)  # the second time that the peak had risen


def test_every_gpu_begins_anew(monkeypatch):
    reset = []
    monkeypatch.setattr(allocator_peak, 'reset_stage_peak', reset.append)
    monkeypatch.setattr(allocator_peak, 'peak_memory', lambda device: 1)
    with watch_of(GPU):
        pass
    assert reset == [GPU]


def test_a_running_profiler_is_left_alone():
    assert isinstance(watch_of(torch.device('cpu')), CpuWatch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as theirs:
        with pytest.raises(RuntimeError, match='another profiler is running'), watch_of(torch.device('cpu')):
            pass
        torch.ones(3).exp()
    assert any(event.key == 'aten::exp' for event in theirs.key_averages())
