import pytest
import torch

from vrtspike.benchmarking.pairs import PairedRatio, Spread, interleaved_ms, orders, paired_ratio, spread


def test_every_round_begins_one_further():
    assert list(orders(('a', 'b', 'c'), 3)) == ['a', 'b', 'c', 'b', 'c', 'a', 'c', 'a', 'b']


def test_calls_are_interleaved_and_timed(monkeypatch):
    now, calls = [0.0], []

    def taking(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds

        return call

    monkeypatch.setattr('time.perf_counter', lambda: now[0])
    functions = {'slow': taking('slow', 2.0), 'fast': taking('fast', 0.5)}
    times = interleaved_ms(functions, 2, torch.device('cpu'), warmup=1)
    assert times == {'slow': [2000.0, 2000.0], 'fast': [500.0, 500.0]}
    assert calls == ['slow', 'fast', 'slow', 'fast', 'fast', 'slow']


def test_ratios_are_those_within_a_round():
    assert paired_ratio([2.0, 40.0, 6.0], [1.0, 10.0, 2.0]) == PairedRatio(median=3.0, min=2.0, max=4.0)
    with pytest.raises(ValueError, match='zip'):
        paired_ratio([1.0], [1.0, 2.0])


def test_spread_of_one_time_is_zero():
    assert spread([3.0]) == Spread(median=3.0, iqr_share=0.0)
