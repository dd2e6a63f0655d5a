import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / 'vrtspike/records/stage_costs.schema.json').read_text(encoding='utf-8'))


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads the memory of processes from /proc')
def test_measures_a_log_of_records_that_the_schema_describes(tmp_path):
    log = tmp_path / 'stage_costs.jsonl'
    command = [sys.executable, str(ROOT / 'benchmarks/analyze_logs.py'), '--records', '600', '--log', str(log)]
    command += ['--json', str(tmp_path / 'record.json')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert json.loads((tmp_path / 'record.json').read_text()) == record
    shipped = json.loads((ROOT / 'benchmarks/records/analysis/million_samples.json').read_text(encoding='utf-8'))
    assert set(record) == set(shipped) >= {'versions', 'device', 'commit'}
    assert record['records'] == 600
    assert 20 < record['peak_rss_mib'] < 300
    assert record['wall_s'] > 0
    lines = log.read_text().splitlines()
    for line in (lines[0], lines[1], lines[600]):
        jsonschema.validate(json.loads(line), SCHEMA)
    assert json.loads(lines[600])['iteration'] == 600
