"""The memory of batches, measured for the guide."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / 'benchmarks/speed.schema.json').read_text(encoding='utf-8'))


def test_every_batch_is_measured_by_itself(tmp_path, monkeypatch, capsys):
    import guide_memory

    from vrtspike.benchmarking import peak_memory

    measured = []

    def memory(config, shape, device, batches):
        measured.append((config.optim_wrapper.type, shape, device.type, batches))
        return 100.0 * len(measured)

    monkeypatch.setattr(peak_memory, 'memory_in_new_process', memory)
    monkeypatch.chdir(ROOT)
    path = tmp_path / 'memory.json'
    monkeypatch.setattr(
        sys, 'argv', ['guide_memory.py', '--shape', '3', '16', '8', '--device', 'cpu', '--json', str(path)]
    )
    guide_memory.main()
    assert measured == [
        ('OptimWrapper', (1, 3, 16, 8), 'cpu', 1),
        ('OptimWrapper', (2, 3, 16, 8), 'cpu', 1),
        ('DeviceAmpOptimWrapper', (2, 3, 16, 8), 'cpu', 1),
        ('OptimWrapper', (1, 3, 16, 8), 'cpu', 2),
    ]
    found = json.loads(path.read_text(encoding='utf-8'))
    jsonschema.validate(found, SCHEMA)
    assert [row['peak_memory_mib'] for row in found['rows']] == [100.0, 200.0, 300.0, 400.0]
    assert 'amp_two_clips' in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_writes_a_record(tmp_path):
    path = tmp_path / 'memory.json'
    command = [
        sys.executable,
        'benchmarks/guide_memory.py',
        '--shape',
        '2',
        '8',
        '8',
        '--device',
        'cpu',
        '--json',
        path,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text(encoding='utf-8'))
    jsonschema.validate(found, SCHEMA)
    assert all(row['peak_memory_mib'] > 100 for row in found['rows'])
