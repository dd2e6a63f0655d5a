"""A training iteration on paper. The pins are exact: a change that moves one updates it in the same commit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from vrtspike.benchmarking.fake_gpu.kernels import Operation
from vrtspike.benchmarking.fake_gpu.step import PaperCost, PaperStep, cost_of, disturbances, grouped

ROOT = Path(__file__).resolve().parents[3]
RECORDS = ROOT / 'benchmarks/records/on_paper'
CONFIGS = {path.stem: path for path in (ROOT / 'configs').rglob('*.py')}
needs_fake_gpu = pytest.mark.skipif(
    shutil.which('g++') is None or bool(torch.version.cuda), reason='needs g++ and a CPU build of PyTorch'
)
SHALLOW = 'model.backbone.depths=[1,1,1,1,1,1,1,1]'


BUDGETS = {  # launches, GB, GB of casts and GiB at the peak
    'baseline': (9220, 910, 0.1, 25),
    'baseline_triton': (5480, 569, 0.1, 22),
    'fast': (8080, 450, 35.2, 35),
    'fast_triton': (4650, 249, 6.0, 29),
    'fast_triton_recomputing_all': (5130, 280, 6.0, 13),
    'released': (9610, 694, 35.2, 50),
    'released_triton': (4680, 382, 6.0, 44),
    'tiny': (3270, 43, 6.0, 3),
    'tiny_triton': (2750, 23, 1.5, 2),
    'v0': (12_420, 1410, 0.1, 28),
    'v0_triton': (6960, 912, 0.1, 28),
}
"""What a training iteration of 1 x 5 x 256 x 256 may cost on paper; improvements lower it."""
COUNTED_ALWAYS = ('tiny_triton', 'fast_triton', 'baseline_triton', 'released_triton')
"""Rows that every run of the tests counts anew; v0 takes longest and has the layers of the baseline."""


def on_paper(path, *arguments, config='configs/vrt_spike_tiny.py'):
    """Return the record of benchmarks/on_paper.py, and what it printed."""
    command = [sys.executable, 'benchmarks/on_paper.py', config, *arguments, '--check', '--json', path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text(encoding='utf-8')), done.stdout


def records():
    """Return the records on paper by name."""
    return {path.stem: json.loads(path.read_text(encoding='utf-8')) for path in sorted(RECORDS.glob('*.json'))}


@pytest.fixture(scope='module')
def shallow(tmp_path_factory):
    path = tmp_path_factory.mktemp('paper') / 'step.json'
    return on_paper(path, '--shape', '1', '2', '32', '32', '--cfg-options', SHALLOW)


@needs_fake_gpu
def test_the_host_does_nothing_but_launch(shallow):
    step = shallow[0]['step']
    assert step['waits'] == {}
    assert step['host_operations'] == {}
    (copied,) = step['copies']  # the norm of the gradient, which is read when it has arrived
    assert copied.startswith('copy_ at runtime/readback.py:')


@needs_fake_gpu
def test_launches_bytes_and_casts_of_a_shallow_network(shallow):
    step = shallow[0]['step']
    assert step['precision'] == 'bfloat16'
    total = step['total']
    assert (total['launches'], total['casts'], total['gb']) == (2773, 452, 0.3682)
    assert step['peak_memory_mib'] == 54.7
    assert {name: cost['launches'] for name, cost in step['phases'].items()} == {
        'forward': 1055,
        'backward': 1681,
        'optimizer': 37,
    }


@needs_fake_gpu
def test_a_memory_budget_is_kept_without_a_clock(shallow, tmp_path):
    budget = ['model.backbone.checkpointing=auto', 'model.backbone.checkpoint_budget_mib=1.5']
    step = on_paper(tmp_path / 'a.json', '--shape', '1', '2', '32', '32', '--cfg-options', SHALLOW, *budget)[0]['step']
    assert step['phases']['recompute']['launches'] == 40  # of 72, if every branch is recomputed
    assert step['peak_memory_mib'] < shallow[0]['step']['peak_memory_mib']


@needs_fake_gpu
def test_every_launch_belongs_to_a_phase_a_stage_and_an_operator(shallow):
    step, printed = shallow[0]['step'], shallow[1]
    for grouping in ('phases', 'stages', 'operators', 'lines'):
        assert sum(cost['launches'] for cost in step[grouping].values()) == step['total']['launches']
    assert {'flow', 'stage1', 'stage8', 'fuse1', 'loss', 'optimizer'} <= step['stages'].keys()
    assert {'attention', 'mlp', 'deform_conv'} <= step['parts'].keys()
    assert 'vrt_spike_tiny, bfloat16, clips 1 x 2 x 32 x 32, on paper' in printed


@pytest.mark.parametrize('name', BUDGETS)
def test_a_step_costs_no_more_than_its_budget(name):
    found = msgspec.convert(records()[name]['step'], PaperStep)
    launches, gb, cast_gb, peak_gib = BUDGETS[name]
    assert found.shape == [1, 5, 256, 256]
    assert found.total.launches <= launches
    assert found.total.gb <= gb
    assert found.total.cast_gb <= cast_gb
    assert round(found.peak_memory_mib / 1024) <= peak_gib
    assert not disturbances(found)


def test_every_record_has_a_budget():
    assert {name for name in records() if not name.startswith('published')} == BUDGETS.keys()


@needs_fake_gpu
@pytest.mark.parametrize(
    'name', [name if name in COUNTED_ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in BUDGETS]
)
def test_a_record_is_what_the_code_costs_now(tmp_path, name):
    record = records()[name]
    arguments = ['--shape', *map(str, record['step']['shape'])]
    if record['backends']:
        arguments += ['--backends', *record['backends']]
    if record['overrides']:
        arguments += ['--cfg-options', *(f'{key}={value}' for key, value in record['overrides'].items())]
    found, _ = on_paper(tmp_path / 'step.json', *arguments, config=CONFIGS[record['step']['config']])
    for key in ('total', 'peak_memory_mib', 'host_operations', 'attention'):
        assert found['step'][key] == record['step'][key], key


def test_what_the_host_does_besides_launching_is_found():
    step = msgspec.convert(records()['fast']['step'], PaperStep)
    busy = dict(waits={'a.py:1': 2}, copies={**step.copies, '_to_copy at b.py:2': 1}, host_operations={'add': 3})
    found = disturbances(msgspec.structs.replace(step, **busy))
    assert found == ['wait: 2 x a.py:1', 'copy: 1 x _to_copy at b.py:2', 'on the host: 3 x add']


def operation(name, launches=1, size=10**9, casts=False):
    return Operation(name, 'float32', launches, size, 2 * 10**12, casts)


def test_costs_add_up():
    cost = cost_of([operation('add'), operation('_to_copy', casts=True), operation('sum', launches=3)])
    assert (cost.launches, cost.gb, cost.tflops, cost.casts, cost.cast_gb) == (5, 3.0, 6.0, 1, 1.0)


def test_groups_are_ordered_by_their_time():
    found = grouped([('a', operation('add')), ('b', operation('add')), ('b', operation('add'))])
    assert list(found) == ['b', 'a']
    assert found['a'] == PaperCost(launches=1, gb=1.0, tflops=2.0, model_ms=40.002, casts=0, cast_gb=0.0)
