import json
import re

import pytest
import torch
from mmengine.config import Config
from stage_cost_runs import HOOK, counted, marked, read

pytestmark = pytest.mark.usefixtures('measured_rates')


def test_utilisation_of_iterations_and_stages(make_runner, log_of, monkeypatch):
    visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    runner = marked(make_runner, iters=4, hooks=[HOOK | {'interval': 1}, {'type': 'FlopsHook'}], visualizer=visualizer)
    counted(monkeypatch, runner).train()
    run, *samples = read(runner)
    assert (run['costs']['flow']['recomputed_gmacs'], run['costs']['tail']['recomputed_gmacs']) == (0, 1)
    assert 'nominal' not in run
    assert len(samples) == 3
    for sample in samples:
        # 2 clips of 2 GMAC in both stages, forward and twice that backward, at a peak of 100 GMAC/s: 240 ms.
        assert sample['mfu'] == pytest.approx(240 / sample['iteration_ms'], rel=1e-3)
        assert sample['hfu'] == pytest.approx(260 / sample['iteration_ms'], rel=1e-3)
        tail_ms = sum(sample['stages']['tail'].values())
        assert sample['utilisation'].keys() == {'flow', 'tail'}
        assert sample['utilisation']['tail']['mfu'] == pytest.approx(120 / tail_ms, rel=1e-3)
        assert sample['utilisation']['tail']['hfu'] == pytest.approx(140 / tail_ms, rel=1e-3)
    assert 'of the measured peak of 100 GMAC/s' in log_of(runner)
    with open(f'{runner._log_dir}/vis_data/scalars.json', encoding='utf-8') as file:
        scalars = [line for line in map(json.loads, file) if 'mfu' in line]
    assert [line['mfu'] for line in scalars] == pytest.approx([sample['mfu'] for sample in samples], rel=1e-3)
    assert [line['hfu'] for line in scalars] == pytest.approx([sample['hfu'] for sample in samples], rel=1e-3)


def test_curves_reach_the_visualizer(make_runner):
    visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    runner = marked(make_runner, iters=3, hooks=[HOOK], visualizer=visualizer)
    runner.train()
    with open(f'{runner._log_dir}/vis_data/scalars.json', encoding='utf-8') as file:
        (scalars,) = [line for line in map(json.loads, file) if 'stage_ms/tail' in line]
    assert scalars['step'] == 2
    _, sample = read(runner)
    stage_ms = {f'stage_ms/{name}': sum(phases.values()) for name, phases in sample['stages'].items()}
    assert {name: scalars[name] for name in stage_ms} == pytest.approx(stage_ms, abs=0.005)


def test_a_run_too_short_for_a_sample_says_so(make_runner, log_of):
    runner = marked(make_runner, iters=3, hooks=[HOOK | {'warmup': 5}])
    runner.train()
    assert 'took no sample: the training had 3 iterations, of which the first 5 are warm-up' in log_of(runner)


def test_sampled_iterations_of_a_compiled_network_run_uncompiled(make_runner, log_of):
    torch.compiler.reset()
    hook = HOOK | {'stages': {'named': 'head'}}
    runner = marked(make_runner, iters=6, hooks=[hook], cfg=Config(dict(compile=dict(backend='eager'))))
    runner.train()
    run, *samples = read(runner)
    assert run['notes'] == ['the network is compiled as one, and sampled iterations run uncompiled']
    assert [sample['iteration'] for sample in samples] == [2, 4, 6]
    for sample in samples:
        assert list(sample['stages']) == ['data', 'named', 'flow', 'tail', 'loss', 'optimizer', 'other']
        assert set(sample['stages']['tail']) == {'forward_ms', 'recompute_ms', 'backward_ms'}
        assert set(sample['stages']['named']) == {'forward_ms', 'backward_ms'}
    assert re.search(r'sampled iterations, which run uncompiled, took .* ms, the compiled ones .* ms', log_of(runner))
    torch.compiler.reset()
