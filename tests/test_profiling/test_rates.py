import json
from contextlib import contextmanager

import pytest
import torch

from vrtspike.profiling import rates as roofline
from vrtspike.profiling.rates import device_rates, measure_rates
from vrtspike.records.stage_costs import Rates
from vrtspike.runtime import device as device_module
from vrtspike.runtime.device import MIB

CPU = torch.device('cpu')


def test_rates_are_measured_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    answers = iter([Rates(1.0, 2.0), Rates(3.0, 4.0)])
    monkeypatch.setattr(roofline, 'measure_rates', lambda device, dtype: next(answers))
    assert device_rates(CPU, torch.float32) == Rates(1.0, 2.0)
    assert device_rates(CPU, torch.bfloat16) == Rates(3.0, 4.0)
    assert device_rates(CPU, torch.float32) == Rates(1.0, 2.0)
    assert len(json.loads((tmp_path / 'vrtspike' / 'rates.json').read_text())) == 2


@pytest.mark.parametrize('text', ['{"half', '[]', '{"cpu": 3}', '{"cpu": {"gmacs_per_s": "x"}}'])
def test_a_damaged_cache_is_measured_again(monkeypatch, tmp_path, text):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    (tmp_path / 'vrtspike').mkdir()
    (tmp_path / 'vrtspike' / 'rates.json').write_text(text)
    monkeypatch.setattr(roofline, 'measure_rates', lambda device, dtype: Rates(1.0, 2.0))
    assert device_rates(CPU, torch.float32) == Rates(1.0, 2.0)


def test_rates_that_cannot_be_kept_are_returned(monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    monkeypatch.setattr(roofline, 'measure_rates', lambda device, dtype: Rates(1.0, 2.0))
    assert device_rates(CPU, torch.float32) == Rates(1.0, 2.0)


def test_rates_of_this_machine_are_plausible(monkeypatch):
    monkeypatch.setitem(roofline.MATRIX_SIZE, 'cpu', 256)
    monkeypatch.setitem(roofline.COPY_MIB, 'cpu', 4)
    rates = measure_rates(CPU, torch.float32)
    assert 0.1 < rates.gmacs_per_s < 1e5
    assert 0.1 < rates.gib_per_s < 1e4


@pytest.mark.parametrize('seconds', [[3.0, 1.0, 2.0]])
def test_the_best_repetition_counts(monkeypatch, seconds):
    ticks = iter([0.0, seconds[0], 10.0, 10.0 + seconds[1], 20.0, 20.0 + seconds[2]])
    monkeypatch.setattr(roofline, 'REPETITIONS', 3)
    monkeypatch.setattr(device_module.time, 'perf_counter', lambda: next(ticks))
    assert roofline._best_seconds(lambda: None, CPU) == 1.0


@pytest.mark.parametrize(('free', 'n', 'copied'), [(2**40, 1536, 128 * MIB), (12 * MIB, 512, 3 * MIB // 2)])
def test_a_measurement_takes_at_most_a_quarter_of_the_free_memory(monkeypatch, free, n, copied):
    sizes = []

    def seconds(work, device):
        tensors = [cell.cell_contents for cell in work.__closure__]
        sizes.append(sum(tensor.nbytes for tensor in tensors))
        return 1.0

    monkeypatch.setattr(roofline, 'free_memory', lambda device: free)
    monkeypatch.setattr(roofline, '_best_seconds', seconds)
    rates = measure_rates(CPU, torch.float32)
    assert sizes == [3 * 4 * n**2, 2 * copied]
    assert sizes[0] <= free / 4
    assert sizes[1] <= free / 4
    assert rates == Rates(n**3 / 1e9, 2 * copied / 2**30)


def test_a_measurement_is_left_out_of_the_peak(monkeypatch):
    inside = []

    @contextmanager
    def left_out(device):
        inside.append(device)
        yield
        inside.append('end')

    monkeypatch.setattr(roofline, 'left_out_of_peak', left_out)
    monkeypatch.setattr(roofline, '_best_seconds', lambda work, device: inside.append('work') or 1.0)
    measure_rates(CPU, torch.float32)
    assert inside == [CPU, 'work', 'work', 'end']


def test_products_on_tensor_cores_are_kept_apart(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    torch.set_float32_matmul_precision('highest')  # another test may have changed it
    answers = iter([Rates(1.0, 2.0), Rates(8.0, 2.0)])
    monkeypatch.setattr(roofline, 'measure_rates', lambda device, dtype: next(answers))
    assert device_rates(CPU, torch.float32).gmacs_per_s == 1.0
    torch.set_float32_matmul_precision('high')
    try:
        assert device_rates(CPU, torch.float32).gmacs_per_s == 8.0
    finally:
        torch.set_float32_matmul_precision('highest')
