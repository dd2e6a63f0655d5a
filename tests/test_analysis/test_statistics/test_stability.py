import json

import numpy as np
import pytest

from vrtspike.analysis.readers import read_logs
from vrtspike.analysis.statistics.samples import SampleTable
from vrtspike.analysis.statistics.stability import SlowIteration, drift, outliers, stability, warmup_samples


def table_of(ms: np.ndarray) -> SampleTable:
    table = SampleTable()
    table.add(('iteration', 'iteration_ms'), np.column_stack([np.arange(1, len(ms) + 1), ms]))
    return table


def test_warmup():
    assert warmup_samples(np.array([300.0, 200.0, 130.0, *[100.0] * 20])) == 3
    assert warmup_samples(np.full(20, 100.0)) == 0
    assert warmup_samples(np.array([300.0, 100.0])) == 0


def test_drift_is_found_and_noise_is_not_drift(made_up):
    steady = 100 * made_up.noise(400, seed=0)
    assert drift(steady).noise
    rising = drift(steady * np.linspace(1, 1.2, 400))
    assert not rising.noise
    assert rising.ratio == pytest.approx(1.1, abs=0.03)


def test_outliers(made_up):
    ms = 100 * made_up.noise(400, seed=0)
    ms[[50, 200]] = (500, 300)
    found = outliers(table_of(ms), warmup=0)
    assert found.count == 2
    assert found.worst == [SlowIteration(51, 500.0), SlowIteration(201, 300.0)]


def test_warmup_is_no_outlier():
    ms = np.array([900.0, *[100.0] * 50])
    assert outliers(table_of(ms), warmup=1).count == 0
    assert outliers(table_of(ms), warmup=1).worst == []


def test_where_nothing_varies_a_millisecond_is_no_outlier():
    ms = np.array([100.0] * 50 + [101.0])
    assert outliers(table_of(ms), warmup=0).count == 0


def test_losses_that_are_no_numbers(made_up, tmp_path):
    lines = [made_up.run_line(), *made_up.sample_lines(30)]
    lines[12]['loss'] = lines[20]['loss'] = None
    path = made_up.write(tmp_path / 'stage_costs.jsonl', lines)
    log = read_logs([path])
    found = stability(log, log.costs())
    assert found.losses_not_finite == 2
    assert found.first_not_finite_iteration == lines[12]['iteration']


def test_nan_of_mmengine(made_up, tmp_path):
    lines = made_up.scalars()
    lines[4]['loss'] = float('nan')
    path = tmp_path / 'scalars.json'
    path.write_text('\n'.join(map(json.dumps, lines)))
    log = read_logs([path])
    found = stability(log, log.costs())
    assert (found.losses_not_finite, found.first_not_finite_iteration) == (1, 5)
    assert found.warmup_samples == 1
