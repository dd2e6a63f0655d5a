"""A training step on paper. The pins are exact: a change that moves one updates it in the same commit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vrtspike.benchmarking.fake_gpu.kernels import Operation
from vrtspike.benchmarking.fake_gpu.step import PaperCost, cost_of, grouped

ROOT = Path(__file__).resolve().parents[3]
needs_fake_gpu = pytest.mark.skipif(
    shutil.which('g++') is None or bool(torch.version.cuda), reason='needs g++ and a CPU build of PyTorch'
)
SHALLOW = 'model.backbone.depths=[1,1,1,1,1,1,1,1]'


def on_paper(path, *arguments):
    """Return the record of benchmarks/on_paper.py, and what it printed."""
    command = [sys.executable, 'benchmarks/on_paper.py', 'configs/vrt_spike_tiny.py', *arguments, '--json', path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text(encoding='utf-8')), done.stdout


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
    assert (total['launches'], total['casts'], total['gb']) == (3657, 702, 0.3989)
    assert step['peak_memory_mib'] == 56.0
    assert {name: cost['launches'] for name, cost in step['phases'].items()} == {
        'forward': 1590,
        'backward': 2028,
        'optimizer': 39,
    }


@needs_fake_gpu
def test_every_launch_belongs_to_a_phase_a_stage_and_an_operator(shallow):
    step, printed = shallow[0]['step'], shallow[1]
    for grouping in ('phases', 'stages', 'operators', 'lines'):
        assert sum(cost['launches'] for cost in step[grouping].values()) == step['total']['launches']
    assert {'flow', 'stage1', 'stage8', 'fuse1', 'loss', 'optimizer'} <= step['stages'].keys()
    assert {'attention', 'mlp', 'deform_conv'} <= step['parts'].keys()
    assert 'vrt_spike_tiny, bfloat16, clips 1 x 2 x 32 x 32, on paper' in printed


def operation(name, launches=1, size=10**9, casts=False):
    return Operation(name, 'float32', launches, size, 2 * 10**12, casts)


def test_costs_add_up():
    cost = cost_of([operation('add'), operation('_to_copy', casts=True), operation('sum', launches=3)])
    assert (cost.launches, cost.gb, cost.tflops, cost.casts, cost.cast_gb) == (5, 3.0, 6.0, 1, 1.0)


def test_groups_are_ordered_by_their_time():
    found = grouped([('a', operation('add')), ('b', operation('add')), ('b', operation('add'))])
    assert list(found) == ['b', 'a']
    assert found['a'] == PaperCost(launches=1, gb=1.0, tflops=2.0, model_ms=40.002)
