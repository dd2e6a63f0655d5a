import gzip
import json
import os
import re
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from importlib.resources import files
from types import SimpleNamespace

import jsonschema
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from msgspec import to_builtins
from planted import PlantedClock
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.checkpoint import checkpoint

from vrtspike.errors import ConfigError
from vrtspike.hooks import stage_cost_hook
from vrtspike.profiling import part, ranges, stage, stages
from vrtspike.profiling.flops import Costs, StageCost
from vrtspike.records.memory import Holding, MemoryLine, MemoryTimeline
from vrtspike.records.trace import merged_trace, traces_of

SCHEMA = json.loads(files('vrtspike.records').joinpath('stage_costs.schema.json').read_text(encoding='utf-8'))


@pytest.fixture(autouse=True)
def cached_rates(tmp_path, monkeypatch):
    """Rates of a device that nobody measures here."""
    from vrtspike.hooks import stage_cost_hook
    from vrtspike.records.stage_costs import Rates

    monkeypatch.setattr(stage_cost_hook, 'device_rates', lambda device, dtype: Rates(100.0, 10.0))


def marked(make_runner, **settings):
    """Return a Runner whose network marks two stages, the second checkpointed."""
    runner = make_runner(**settings)
    model = runner.model

    def forward(blur, spikes=None, sharp=None, meta=None, mode='tensor'):
        frames = (blur.float() / 255).flatten(0, 1)
        with stage('flow') as s:
            x = s.leave(model.backbone['flow'](s.enter(frames)))
        with stage('tail') as s:
            x = s.leave(checkpoint(tail, s.enter(x), use_reentrant=False))
        out = model.head(x).view_as(blur)
        if mode == 'loss':
            with stage('loss') as s:
                return {'loss': s.leave((s.enter(out) - sharp / 255).abs().mean())}
        return [{'restored': clip} for clip in out.clamp(0, 1)]

    def tail(x):
        with part('conv') as p:
            return p.leave(model.backbone['tail'](p.enter(x)).exp())

    model.forward = forward
    model.cost_stages = lambda: ('flow', 'tail', 'loss')
    return runner


HOOK = {'type': 'StageCostHook', 'interval': 2, 'warmup': 1}


def read(runner, name='stage_costs.jsonl'):
    with open(f'{runner.work_dir}/{name}', encoding='utf-8') as file:
        records = [json.loads(line) for line in file]
    for record in records:
        jsonschema.validate(record, SCHEMA)
    return records


def test_the_records_of_a_run(make_runner, log_of):
    runner = marked(make_runner, iters=6, hooks=[HOOK], train_cfg=dict(by_epoch=False, max_iters=6, val_interval=3))
    runner.train()
    run, *samples = read(runner)
    assert run['stages'] == ['data', 'flow', 'tail', 'loss', 'optimizer', 'communication', 'other']
    assert (run['warmup'], run['interval'], run['precision'], run['world_size']) == (1, 2, 'float32', 1)
    assert run['rates'] == {'gmacs_per_s': 100.0, 'gib_per_s': 10.0}
    assert run['costs'] is None
    assert [sample['iteration'] for sample in samples] == [2, 4, 6]
    losses, _ = runner.message_hub.get_scalar('train/loss').data
    for sample in samples:
        assert (sample['clips'], sample['frames'], sample['rank']) == (2, 6, 0)
        total = sum(sum(phases.values()) for phases in sample['stages'].values())
        assert total == pytest.approx(sample['iteration_ms'], abs=0.005)
        assert list(sample['stages']) == ['data', 'flow', 'tail', 'loss', 'optimizer', 'other']
        assert set(sample['stages']['tail']) == {'forward_ms', 'recompute_ms', 'backward_ms'}
        assert set(sample['stages']['optimizer']) == {'forward_ms'}
        assert set(sample['parts']) == {'tail/conv'}
        assert sample['loss'] == pytest.approx(losses[sample['iteration'] - 1], rel=1e-4)
        assert sample['memory_mib'] > 10
    log = log_of(runner)
    for text in ('Medians of 3 iterations of 2 clips, float32', 'recompute ms', 'iteration', '100.0%'):
        assert text in log


def test_losses_are_those_of_a_run_without_the_hook(make_runner):
    losses = []
    for hooks in ([], [HOOK | {'interval': 1}]):
        torch.manual_seed(0)
        runner = marked(make_runner, iters=4, hooks=hooks, model=fresh_model(make_runner))
        runner.train()
        losses.append([value.item() for value in runner.model.parameters().__next__().detach().flatten()])
    assert losses[0] == losses[1]


def fresh_model(make_runner):
    torch.manual_seed(1)
    return type(make_runner(1).model)()


def test_the_hook_leaves_no_trace(make_runner):
    runner = marked(make_runner, iters=3, hooks=[HOOK])
    runner.train()
    assert stages._listeners == []
    assert {'update_params', 'backward', 'step_events'}.isdisjoint(vars(runner.optim_wrapper))
    assert all(not parameter._post_accumulate_grad_hooks for parameter in runner.model.parameters())


def test_accumulation_and_mixed_precision(make_runner, monkeypatch):
    clock = PlantedClock()
    monkeypatch.setattr('vrtspike.profiling.sampler.clock_of', lambda device: clock)
    wrapper = dict(type='DeviceAmpOptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
    wrapper |= dict(accumulative_counts=3, clip_grad=dict(max_norm=1.0))
    runner = marked(make_runner, iters=7, hooks=[HOOK | {'interval': 1}], optim_wrapper=wrapper)

    def after_step(*_):
        clock.ms += 5

    with register_optimizer_step_post_hook(after_step):
        runner.train()
    run, *samples = read(runner)
    assert (run['precision'], run['accumulative_counts']) == ('bfloat16', 3)
    assert len(samples) == 6
    optimizer_ms = {sample['iteration']: sample['stages']['optimizer']['forward_ms'] for sample in samples}
    assert optimizer_ms == {2: 0, 3: 5, 4: 0, 5: 0, 6: 5, 7: 5}  # the last iteration steps with what there is


def test_costs_stand_beside_the_times(make_runner, log_of, monkeypatch):
    from vrtspike.hooks import flops_hook

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


def counted(monkeypatch, runner):
    """Let the hook count 2 GMAC in each of two stages, and 1 GMAC of recomputation."""
    from vrtspike.hooks import flops_hook

    stages = {name: StageCost(2_000_000_000, 10, 2**20, 16) for name in ('flow', 'tail')}
    monkeypatch.setattr(flops_hook, 'count_clip', lambda *_: Costs(stages, clip_shape=(3, 16, 16)))
    monkeypatch.setattr(flops_hook, 'recomputed_macs', lambda model, **inputs: {'tail': 1_000_000_000})
    runner.model.data_preprocessor.forward = lambda data, training=False: data
    return runner


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


def test_hfu_is_absent_if_recomputation_cannot_be_counted(make_runner, monkeypatch):
    from vrtspike.hooks import flops_hook

    def fail(*args, **kwargs):
        raise NotImplementedError('an operator without a meta kernel')

    runner = counted(monkeypatch, marked(make_runner, iters=3, hooks=[HOOK, {'type': 'FlopsHook'}]))
    monkeypatch.setattr(flops_hook, 'recomputed_macs', fail)
    runner.train()
    run, sample = read(runner)
    assert run['notes'] == ['no HFU: what is recomputed could not be counted (NotImplementedError: an operator without '
                            'a meta kernel)']  # fmt: skip
    assert 'mfu' in sample
    assert 'hfu' not in sample
    assert 'hfu' in sample['utilisation']['flow']
    assert 'hfu' not in sample['utilisation']['tail']


def test_clips_of_another_shape_have_no_utilisation(make_runner, monkeypatch):
    runner = counted(monkeypatch, marked(make_runner, iters=4, hooks=[HOOK | {'interval': 1}, {'type': 'FlopsHook'}]))
    (flops,) = (hook for hook in runner.hooks if type(hook).__name__ == 'FlopsHook')

    class CropsGrow(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 2:
                flops.shapes = ((3, 3, 8, 8),)  # as if the crops had grown since they were counted

    runner.register_hook(CropsGrow())
    runner.train()
    _, *samples = read(runner)
    assert ['mfu' in sample for sample in samples] == [True, False, False]


def test_rates_are_measured_before_the_training(make_runner, monkeypatch):
    from vrtspike.hooks import stage_cost_hook
    from vrtspike.records.stage_costs import Rates

    measured_at = []
    monkeypatch.setattr(
        stage_cost_hook, 'device_rates', lambda *_: measured_at.append(runner.iter) or Rates(100.0, 10.0)
    )
    runner = marked(make_runner, iters=3, hooks=[HOOK])
    runner.train()
    assert measured_at == [0]


MEMORY_SCHEMA = json.loads(files('vrtspike.records').joinpath('memory.schema.json').read_text(encoding='utf-8'))


def explained(runner):
    with open(f'{runner.work_dir}/memory.jsonl', encoding='utf-8') as file:
        lines = [json.loads(line) for line in file]
    for line in lines:
        jsonschema.validate(line, MEMORY_SCHEMA)
    return lines


def test_the_memory_of_an_iteration_is_explained(make_runner, log_of):
    runner = marked(make_runner, iters=5, hooks=[HOOK | {'interval': 1, 'memory': True}])
    runner.train()
    (line,) = explained(runner)
    assert (line['iteration'], line['device']) == (2, 'cpu')
    held = {each['kind']: each['mib'] for each in line['holdings'] if 'stage' not in each}
    parameters = sum(parameter.nbytes for parameter in runner.model.parameters()) / 2**20
    assert held['parameters'] == pytest.approx(parameters)
    assert held['optimizer'] == pytest.approx(2 * parameters, rel=0.5)  # AdamW: two moments, and the numbers of steps
    assert held['batch'] > 2 * 3 * 3 * 16 * 16 / 2**20
    assert sum(each['mib'] for each in line['holdings']) == pytest.approx(line['peak_mib'])
    assert {'flow', 'tail', 'tail recompute', 'tail backward', 'optimizer'} <= set(line['timeline']['running'])
    assert 'Memory at the peak of iteration 2' in log_of(runner)
    # Its times are not sampled, and the other samples are as ever.
    assert [sample['iteration'] for sample in read(runner)[1:]] == [3, 4, 5]
    assert 'train_step' not in vars(runner.model)
    assert stages._listeners == []


def test_several_iterations_can_be_explained(make_runner):
    runner = marked(make_runner, iters=4, hooks=[HOOK | {'memory': [1, 3]}])
    runner.train()
    assert [line['iteration'] for line in explained(runner)] == [1, 3]


def test_an_explanation_that_fails_costs_no_training(make_runner, log_of, monkeypatch):
    from vrtspike.hooks import stage_cost_hook

    class Fails(stage_cost_hook.ExplainedMemory):
        @contextmanager
        def watching(self):
            raise RuntimeError('the profiler is in use')
            yield

    monkeypatch.setattr(stage_cost_hook, 'ExplainedMemory', Fails)
    runner = marked(make_runner, iters=4, hooks=[HOOK | {'memory': [3]}])
    runner.train()
    assert runner.iter == 4
    assert 'cannot be explained (RuntimeError: the profiler is in use)' in log_of(runner)
    assert [sample['iteration'] for sample in read(runner)[1:]] == [2, 4]  # the times are there


def test_a_step_that_fails_while_it_is_watched_ends_the_watching(make_runner):
    runner = marked(make_runner, iters=4, hooks=[HOOK | {'memory': [2]}])
    forward, calls = runner.model.forward, []

    def fails(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise ZeroDivisionError
        return forward(*args, **kwargs)

    runner.model.forward = fails
    with pytest.raises(ZeroDivisionError):
        runner.train()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_on_a_gpu_the_history_is_written_as_a_snapshot(make_runner, monkeypatch):
    from vrtspike.hooks import stage_cost_hook

    calls = []
    hook = stage_cost_hook.StageCostHook(memory=[3, 5])
    runner = make_runner(1)
    hook._sampler = SimpleNamespace(device=torch.device('cuda', 1))
    monkeypatch.setattr(stage_cost_hook, 'write_snapshot', lambda path: calls.append(path.name))
    monkeypatch.setattr(stage_cost_hook, 'stop_history', lambda: calls.append('stop'))
    holdings = [Holding('parameters', 3.0)]
    for iteration in (3, 5):
        timeline = MemoryTimeline([0.0], ['other'], {'parameters': [3.0]})
        line = MemoryLine(
            iteration=iteration, rank=0, device='cuda:1', peak_mib=3.0, peak_in='other', peak_ms=0.0,
            holdings=holdings, timeline=timeline,
        )  # fmt: skip
        hook._write_memory(runner, line)
    assert calls == ['memory_snapshot.pickle', 'memory_snapshot.pickle', 'stop']


def test_a_resumed_run_adds_to_the_file(make_runner):
    for _ in range(2):
        runner = marked(make_runner, iters=3, hooks=[HOOK])
        runner.train()
    assert [record['kind'] for record in read(runner)] == ['run', 'sample'] * 2


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


def read_trace(path):
    """Return the traced iterations and the milliseconds of slices by iteration, name and phase."""
    slices = [each for each in json.loads(gzip.decompress(path.read_bytes()))['traceEvents'] if each['ph'] == 'X']
    sums = {}
    for each in slices:
        key = each['args']['iteration'], each['name'], each.get('cat')
        sums[key] = sums.get(key, 0.0) + each['dur'] / 1e3
    return sorted({each['args']['iteration'] for each in slices}), sums


def test_a_trace_of_the_first_samples_equals_their_records(make_runner, log_of, tmp_path):
    runner = marked(make_runner, iters=8, hooks=[HOOK | {'trace': 2}])
    runner.train()
    _, *samples = read(runner)
    iterations, sums = read_trace(tmp_path / 'run/trace.json.gz')
    assert iterations == [2, 4]
    for sample in samples[:2]:
        for name, phases in (sample['stages'] | sample['parts']).items():
            for phase in ('forward', 'recompute', 'backward'):
                ms = sums.get((sample['iteration'], name, phase), 0.0)
                assert ms == pytest.approx(phases.get(f'{phase}_ms', 0.0), rel=1e-3, abs=1e-4)
    assert 'A trace of 2 iterations is in' in log_of(runner)


def test_a_training_that_ends_early_writes_what_it_traced(make_runner, tmp_path):
    marked(make_runner, iters=4, hooks=[HOOK | {'trace': 100}]).train()
    assert read_trace(tmp_path / 'run/trace.json.gz')[0] == [2, 4]


def test_without_trace_nothing_is_kept(make_runner, tmp_path):
    runner = marked(make_runner, iters=4, hooks=[HOOK])
    runner.train()
    (hook,) = (each for each in runner.hooks if type(each).__name__ == 'StageCostHook')
    assert not list((tmp_path / 'run').glob('trace*'))
    assert all(sample.spans == [] for sample in hook.samples)


def test_a_trace_that_cannot_be_written_is_missing_and_nothing_else(make_runner, log_of, tmp_path):
    (tmp_path / 'run/trace.json.gz').mkdir(parents=True)
    runner = marked(make_runner, iters=6, hooks=[HOOK | {'trace': 1}])
    runner.train()
    assert [record['kind'] for record in read(runner)] == ['run', *['sample'] * 3]
    assert log_of(runner).count('StageCostHook failed (IsADirectoryError') == 1


def test_the_profiler_of_mmengine_shows_the_stages(make_runner, tmp_path):
    path = tmp_path / 'profile.json'
    profiler = dict(type='mmengine.ProfilerHook', by_epoch=False, profile_times=1, json_trace_path=str(path))
    marked(make_runner, iters=2, hooks=[profiler]).train()  # without our hook
    events = json.loads(path.read_text())['traceEvents']
    names = {each['name'] for each in events if each.get('cat') == 'user_annotation'}
    assert {'flow forward', 'flow backward', 'tail/conv recompute', 'tail/conv backward', 'loss backward'} <= names


def test_nvtx_ranges_in_all_iterations_if_asked(make_runner, monkeypatch):
    with pytest.raises(ConfigError, match='needs CUDA'):
        make_runner(1, hooks=[HOOK | {'nvtx': True}])
    pushed = []
    monkeypatch.setattr(torch.cuda.nvtx, 'range_push', pushed.append)
    monkeypatch.setattr(torch.cuda.nvtx, 'range_pop', lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, 'is_available', lambda: True)
        hook = stage_cost_hook.StageCostHook(nvtx=True)
    marked(make_runner, iters=3, hooks=[hook]).train()
    assert pushed.count('tail/conv recompute') == 3
    assert pushed.count('tail/conv backward') % 3 == 0  # once for every node
    assert 'tail/conv backward' in pushed
    assert not ranges._asked
    assert pushed.count('flow forward') == 3 + 2  # two batches of the validation


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


@pytest.mark.parametrize('arguments', [{'interval': 0}, {'warmup': 0}, {'trace': -1}])
def test_arguments_are_checked(make_runner, arguments):
    with pytest.raises((ConfigError, ValueError), match=r'at least 1|number of iterations'):
        make_runner(1, hooks=[HOOK | arguments])


TWO_PROCESSES = """
    import torch
    from mmengine.config import Config
    from mmengine.model import BaseModel
    from mmengine.runner import Runner
    from vrtspike.hooks import StageCostHook
    from vrtspike.profiling import stage

    class Net(BaseModel):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(64, 64)

        def forward(self, blur, mode='tensor'):
            with stage('layer') as s:
                return {'loss': s.leave(self.layer(s.enter(blur))).square().mean()}

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return {'blur': torch.full((64,), float(index))}

    torch.distributed.init_process_group('gloo')
    loader = dict(batch_size=2, num_workers=0, dataset=Rows(), sampler=dict(type='InfiniteSampler'),
                  collate_fn=dict(type='default_collate'))
    Runner(Net(), work_dir='run', train_dataloader=loader, train_cfg=dict(by_epoch=False, max_iters=4),
           optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3)), launcher='pytorch', default_scope='vrtspike',
           cfg=Config(dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None))),
           custom_hooks=[StageCostHook(interval=1, warmup=1, roofline=False, trace=2)]).train()
"""


def test_two_processes_write_their_own_files_and_the_slowest_is_named(tmp_path):
    script = tmp_path / 'train.py'
    script.write_text(textwrap.dedent(TWO_PROCESSES))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', str(script)]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=os.environ | {'OMP_NUM_THREADS': '1'}
    )
    assert result.returncode == 0, result.stderr[-3000:]
    for rank, name in enumerate(['stage_costs.jsonl', 'stage_costs_rank1.jsonl']):
        run, *samples = map(json.loads, (tmp_path / 'run' / name).read_text().splitlines())
        assert (run['rank'], run['world_size'], len(samples)) == (rank, 2, 3)
        assert all('backward_ms' in sample['stages']['communication'] for sample in samples)
    assert 'slowest of 2 processes: rank' in result.stdout + result.stderr
    traces = [read_trace(tmp_path / 'run' / name) for name in ('trace.json.gz', 'trace_rank1.json.gz')]
    assert [iterations for iterations, _ in traces] == [[2, 3]] * 2
    merged = to_builtins(merged_trace(traces_of(tmp_path / 'run')))['traceEvents']
    communication = [each for each in merged if each['name'] == 'communication']
    assert {each['pid'] for each in communication} == {0, 1}
    assert max(each['ts'] for each in merged if 'ts' in each) < 60e6  # of one machine: within a minute
