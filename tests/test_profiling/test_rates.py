import json

import pytest
import torch

from vrtspike.profiling import rates as roofline
from vrtspike.profiling.rates import device_rates, measure_rates
from vrtspike.records.stage_costs import Rates
from vrtspike.runtime import device as device_module

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
