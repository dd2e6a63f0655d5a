import json
import textwrap

import pytest
import torch
from mmengine.hooks import Hook
from msgspec import to_builtins
from planted import PlantedClock
from stage_cost_runs import HOOK, counted, marked, read, read_trace
from tool_processes import run_ranks
from torch.optim.optimizer import register_optimizer_step_post_hook

from vrtspike.errors import ConfigError
from vrtspike.hooks import stage_cost_hook
from vrtspike.profiling import ranges, stages
from vrtspike.records.stage_costs import Rates
from vrtspike.records.trace import merged_trace, traces_of

pytestmark = pytest.mark.usefixtures('measured_rates')


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


@pytest.mark.usefixtures('cpu_with_bfloat16')
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
    measured_at = []
    monkeypatch.setattr(
        stage_cost_hook, 'device_rates', lambda *_: measured_at.append(runner.iter) or Rates(100.0, 10.0)
    )
    runner = marked(make_runner, iters=3, hooks=[HOOK])
    runner.train()
    assert measured_at == [0]


def test_a_resumed_run_adds_to_the_file(make_runner):
    for _ in range(2):
        runner = marked(make_runner, iters=3, hooks=[HOOK])
        runner.train()
    assert [record['kind'] for record in read(runner)] == ['run', 'sample'] * 2


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
    results = run_ranks(script, cwd=tmp_path)
    assert [result.returncode for result in results] == [0, 0], [result.stderr[-3000:] for result in results]
    for rank, name in enumerate(['stage_costs.jsonl', 'stage_costs_rank1.jsonl']):
        run, *samples = map(json.loads, (tmp_path / 'run' / name).read_text().splitlines())
        assert (run['rank'], run['world_size'], len(samples)) == (rank, 2, 3)
        assert all('backward_ms' in sample['stages']['communication'] for sample in samples)
    assert 'slowest of 2 processes: rank' in results[0].stdout + results[0].stderr
    traces = [read_trace(tmp_path / 'run' / name) for name in ('trace.json.gz', 'trace_rank1.json.gz')]
    assert [iterations for iterations, _ in traces] == [[2, 3]] * 2
    merged = to_builtins(merged_trace(traces_of(tmp_path / 'run')))['traceEvents']
    communication = [each for each in merged if each['name'] == 'communication']
    assert {each['pid'] for each in communication} == {0, 1}
    assert max(each['ts'] for each in merged if 'ts' in each) < 60e6  # of one machine: within a minute
