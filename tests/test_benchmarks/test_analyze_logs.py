import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / 'vrtspike/records/stage_costs.schema.json').read_text(encoding='utf-8'))


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads the memory of processes from /proc')
def test_measures_a_log_of_records_that_the_schema_describes(tmp_path, monkeypatch):
    import analyze_logs

    moments = iter([10.0, 12.34])
    processor = iter([os.times_result((0, 0, 1.0, 0.5, 0)), os.times_result((0, 0, 3.5, 0.75, 0))])
    monkeypatch.setattr(analyze_logs, 'time', SimpleNamespace(perf_counter=lambda: next(moments), sleep=time.sleep))
    monkeypatch.setattr(analyze_logs.os, 'times', lambda: next(processor))
    log = tmp_path / 'stage_costs.jsonl'
    arguments = ['analyze_logs.py', '--records', '600', '--log', str(log), '--json', str(tmp_path / 'record.json')]
    monkeypatch.setattr(sys, 'argv', arguments)
    analyze_logs.main()
    record = json.loads((tmp_path / 'record.json').read_text())
    shipped = json.loads((ROOT / 'benchmarks/records/analysis/million_samples.json').read_text(encoding='utf-8'))
    assert set(record) == set(shipped) >= {'versions', 'device', 'commit'}
    assert record['records'] == 600
    assert 20 < record['peak_rss_mib'] < 300
    assert (record['wall_s'], record['processor_s']) == (2.3, 2.8)
    lines = log.read_text().splitlines()
    for line in (lines[0], lines[1], lines[600]):
        jsonschema.validate(json.loads(line), SCHEMA)
    assert json.loads(lines[600])['iteration'] == 600
