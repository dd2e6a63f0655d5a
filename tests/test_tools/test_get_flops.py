import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = [
    'model.backbone.embed_dims=[8,8,8,8,8,8,8,8]',
    'model.backbone.depths=[1,1,1,1,1,1,1,1]',
    'model.spike_encoder.channels=8',
]


def run(*arguments):
    command = [sys.executable, str(ROOT / 'tools/get_flops.py'), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_counts_by_stage_as_json():
    result = run('configs/vrt_spike_tiny.py', '--shape', '2', '16', '16', '--json', '-', '--cfg-options', *SMALL)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ['shape', 'total_gmacs', 'parameters', 'stages', 'uncounted_ops', 'elementwise_ops']
    assert found['shape'] == [2, 16, 16]
    assert {'stage1', 'fuse1', 'other'} <= set(found['stages'])
    assert all(list(cost) == ['gmacs', 'parameters', 'activations_m', 'mib'] for cost in found['stages'].values())
    assert sum(cost['gmacs'] for cost in found['stages'].values()) == pytest.approx(found['total_gmacs'])
    assert sum(cost['parameters'] for cost in found['stages'].values()) == found['parameters']
    assert found['uncounted_ops'] == {}


def test_a_shape_that_does_not_fit_is_one_error():
    result = run('configs/vrt_spike_tiny.py', '--shape', '2', '17', '16')
    assert result.returncode == 1
    assert 'frames of 17x16 are no whole number of spike pixels' in result.stderr
    assert 'Traceback' not in result.stderr
