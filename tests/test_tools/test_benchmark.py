import json
from pathlib import Path

import jsonschema
from tiny_networks import TINIER
from tool_processes import run_tool

ROOT = Path(__file__).parents[2]


def test_two_configs_are_compared(tmp_path):
    record = tmp_path / 'record.json'
    configs = ['configs/vrt_spike_tiny.py', 'configs/vrt_spike_tiny_no_spikes.py']
    options = ['--shape', '1', '2', '16', '16', '--rounds', '2', '--no-memory', '--device', 'cpu']
    result = run_tool('benchmark', *configs, *options, '--json', str(record), '--cfg-options', *TINIER, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    found = json.loads(record.read_text())
    assert [row['config'] for row in found['rows']] == configs
    assert found['shape'] == [1, 2, 16, 16]
    first, second = found['rows']
    assert first['saving_share'] == first['expected_saving_share'] == 0
    assert all(len(row['times_ms']) == 2 and row['gmacs'] > 0 for row in (first, second))
    assert 'saving measured' in result.stdout
    assert not set(first) & {'stages', 'parts'}


def test_steps_are_divided_among_the_stages(tmp_path):
    record = tmp_path / 'record.json'
    options = ['--shape', '1', '2', '16', '16', '--rounds', '2', '--no-memory', '--device', 'cpu', '--stages']
    result = run_tool(
        'benchmark', 'configs/vrt_spike_tiny.py', *options, '--json', str(record), '--cfg-options', *TINIER, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(record.read_text())
    jsonschema.validate(found, json.loads((ROOT / 'benchmarks/speed.schema.json').read_text()))
    (row,) = found['rows']
    assert {'stage1', 'stage8', 'fuse1', 'flow', 'loss'} <= set(row['stages'])
    assert {'attention', 'mlp', 'fusion'} <= set(row['parts'])
    for i, step_ms in enumerate(row['times_ms']):
        divided = sum(times['total_ms'][i] for times in row['stages'].values())
        assert 0 < divided <= step_ms
    for times in [*row['stages'].values(), *row['parts'].values()]:
        assert all(forward <= total for forward, total in zip(times['forward_ms'], times['total_ms'], strict=True))


def test_a_missing_config_is_named():
    result = run_tool('benchmark', 'configs/none.py', cwd=ROOT)
    assert result.returncode == 1
    assert 'configs/none.py' in result.stderr
    assert 'Traceback' not in result.stderr
