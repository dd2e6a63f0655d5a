import pytest
from stage_cost_runs import HOOK, counted, marked, read

from vrtspike.hooks import flops_hook
from vrtspike.profiling.flops import Costs, StageCost

pytestmark = pytest.mark.usefixtures('measured_rates')


def test_costs_stand_beside_the_times(make_runner, log_of, monkeypatch):
    stages = {'flow': StageCost(2_000_000_000, 10, 2**20, 16), 'other': StageCost()}
    monkeypatch.setattr(flops_hook, 'count_clip', lambda *_: Costs(stages, clip_shape=(3, 16, 16)))
    runner = marked(make_runner, iters=3, hooks=[HOOK, {'type': 'FlopsHook'}])
    runner.model.data_preprocessor.forward = lambda data, training=False: data
    runner.train()
    run = read(runner)[0]
    assert run['costs']['flow'] == {'gmacs': 2.0, 'parameters': 16, 'activations_m': 1e-5, 'mib': 1.0}
    assert run['clip_shape'] == [3, 16, 16]
    (row,) = [line for line in log_of(runner).splitlines() if line.strip().startswith('flow ') and 'compute' in line]
    assert '4.00' in row.split()  # GMAC of the batch's two clips


def test_hfu_is_absent_if_recomputation_cannot_be_counted(make_runner, monkeypatch):
    def fail(*args, **kwargs):
        raise NotImplementedError('an operator without a meta kernel')

    runner = counted(monkeypatch, marked(make_runner, iters=3, hooks=[HOOK, {'type': 'FlopsHook'}]))
    monkeypatch.setattr(flops_hook, 'recomputed_macs', fail)
    runner.train()
    run, sample = read(runner)
    assert run['notes'] == [
        'no HFU: what is recomputed could not be counted (NotImplementedError: an operator without a meta kernel)'
    ]
    assert 'mfu' in sample
    assert 'hfu' not in sample
    assert 'hfu' in sample['utilisation']['flow']
    assert 'hfu' not in sample['utilisation']['tail']
