import json
from contextlib import contextmanager
from importlib.resources import files

import jsonschema
import pytest
import torch
from stage_cost_runs import HOOK, marked, read

from vrtspike.hooks.stage_costs import explained_iterations
from vrtspike.profiling import stages
from vrtspike.records.memory import Holding, MemoryLine, MemoryTimeline

pytestmark = pytest.mark.usefixtures('measured_rates')

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
    class Fails(explained_iterations.ExplainedMemory):
        @contextmanager
        def watching(self):
            raise RuntimeError('the profiler is in use')
            yield

    monkeypatch.setattr(explained_iterations, 'ExplainedMemory', Fails)
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
    calls = []
    explained = explained_iterations.ExplainedIterations([3, 5])
    runner = make_runner(1)
    monkeypatch.setattr(explained_iterations, 'write_snapshot', lambda path: calls.append(path.name))
    monkeypatch.setattr(explained_iterations, 'stop_history', lambda: calls.append('stop'))
    holdings = [Holding('parameters', 3.0)]
    for iteration in (3, 5):
        timeline = MemoryTimeline([0.0], ['other'], {'parameters': [3.0]})
        line = MemoryLine(
            iteration=iteration,
            rank=0,
            device='cuda:1',
            peak_mib=3.0,
            peak_in='other',
            peak_ms=0.0,
            holdings=holdings,
            timeline=timeline,
        )
        explained.write(runner, line)
    assert calls == ['memory_snapshot.pickle', 'memory_snapshot.pickle', 'stop']
