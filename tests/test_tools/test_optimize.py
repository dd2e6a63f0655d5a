"""Optimises as users do: the tool as a process of its own, on a network whose fusion is cut into tiny chunks."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vrtspike.config import load_config
from vrtspike.datasets import write_demo

ROOT = Path(__file__).parents[2]
DEMO = dict(train_clips=2, val_clips=1, size=32, steps_per_frame=32)
CONFIG = """
_base_ = '{root}/configs/vrt_spike_tiny.py'
model = dict(
    backbone=dict(_delete_=True, type='VRTLite', embed_dims=[8] * 7, depths=[1] * 7),
    spike_encoder=dict(channels=8),
    fusion=dict(adaptive_chunk=False, chunk_size=2),
    fusion_stages=[1],
)
data = dict({data})
train_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False)
param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=False)]
custom_hooks = [dict(type='TrainingReportHook'), dict(type='StageCostHook', interval=1, warmup=1, roofline=False)]
"""


def run(*arguments, cwd=ROOT):
    command = [sys.executable, str(ROOT / 'tools/optimize.py'), *map(str, arguments)]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_help_has_examples_and_is_quick():
    began = time.monotonic()
    result = run('--help')
    assert result.returncode == 0
    assert 'python tools/optimize.py configs/vrt_spike_baseline.py' in result.stdout
    assert time.monotonic() - began < 5  # a second on a quiet machine


@pytest.mark.parametrize(
    ('arguments', 'status', 'said'),
    [
        (['configs/none.py'], 1, 'configs/none.py'),
        (['configs/vrt_spike_tiny.py', '--minutes', '0'], 2, 'not positive'),
        (['configs/vrt_spike_tiny.py', '--objective', 'both'], 2, 'invalid choice'),
        (['configs/vrt_spike_tiny.py', '--max-loss-db', '-1'], 1, 'is negative'),
    ],
)
def test_mistakes_are_told(arguments, status, said):
    result = run(*arguments)
    assert result.returncode == status
    assert said in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.slow
def test_a_planted_bottleneck_is_named_first_and_its_remedy_wins(tmp_path):
    demo = write_demo(tmp_path / 'demo', **DEMO, progress=False)
    data = ', '.join(f'{key}={value!r}' for key, value in dict(root=str(demo), **DEMO).items())
    (tmp_path / 'planted.py').write_text(CONFIG.format(root=ROOT, data=data))
    arguments = ['planted.py', '--minutes', 2, '--iterations', 2, '--work-dir', 'out']
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads((tmp_path / 'out/report.json').read_text())
    assert found['profile']['bottlenecks'][0]['stage'] == 'fuse1'
    assert found['steps'][0]['added'] == 'fusion_chunks'
    assert found['steps'][0]['kept']
    assert 'What costs most is fuse1' in result.stdout
    optimized = load_config(tmp_path / 'out/planted_optimized.py')
    assert optimized.model.fusion.chunk_size == 256
    assert '最' in (tmp_path / 'out/report.zh-CN.md').read_text()

    # The same command measures nothing again.
    record = tmp_path / 'out/trials/fusion_chunks.json'
    before = record.stat().st_mtime_ns
    assert run(*arguments, cwd=tmp_path).returncode == 0
    assert record.stat().st_mtime_ns == before
