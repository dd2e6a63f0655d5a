"""The comparison of policies of activation checkpointing with budgets."""

import json
from pathlib import Path

import pytest
import recompute
from tool_processes import run_script

from vrtspike.benchmarking import peak_memory

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / 'benchmarks/speed.schema.json').read_text(encoding='utf-8'))


@pytest.fixture
def measure(monkeypatch, tmp_path):
    """Return a function that runs the benchmark and returns its record, and the settings of which it took the peak."""
    monkeypatch.setattr('vrtspike.native.allocator.keep_freed_memory', lambda: True)  # not in this process
    monkeypatch.setattr('vrtspike.benchmarking.training_step.allocate_tensors_with_malloc', lambda: True)
    peaks = []

    def memory(config, shape, device):
        backbone = config.model.backbone
        peaks.append((backbone.checkpointing, backbone.get('checkpoint_budget_mib'), backbone.drop_path_rate))
        return 100.0 + len(peaks)

    monkeypatch.setattr(peak_memory, 'memory_in_new_process', memory)

    def run(*arguments):
        path = tmp_path / 'record.json'
        tiny = ['--config', str(ROOT / 'configs/vrt_spike_tiny.py'), '--shape', '1', '2', '16', '16']
        monkeypatch.setattr('sys.argv', ['recompute.py', *tiny, '--budgets', '0.5', '--json', str(path), *arguments])
        recompute.main()
        return json.loads(path.read_text(encoding='utf-8'))

    return run, peaks


def test_policies_and_budgets_are_measured_and_a_record_is_gone_on_with(measure, capsys):
    jsonschema = pytest.importorskip('jsonschema')
    run, peaks = measure
    first = run('--rounds', '1')
    jsonschema.validate(first, SCHEMA)
    names = ['none', 'ffn', 'attn', 'all']
    assert [row['row'] for row in first['rows']] == [*names, f'auto, {peaks[4][1]} MiB']
    assert peaks == [(name, None, 0.0) for name in names] + [('auto', peaks[4][1], 0.0)]
    none, ffn, attn, everything, auto = first['rows']
    assert none['branches'].count('1') == none['expected_ms'] == 0
    assert everything['branches'].count('0') == 0
    assert ffn['branches'].count('1') == attn['branches'].count('1') == len(attn['branches']) / 2
    assert everything['saved_mib'] < auto['saved_mib'] <= auto['backbone']['checkpoint_budget_mib'] < none['saved_mib']
    assert [len(row['times_ms']) for row in first['rows']] == [1] * 5

    second = run('--rounds', '2')
    assert len(peaks) == 5
    for row, before in zip(second['rows'], first['rows'], strict=True):
        assert row['times_ms'][:1] == before['times_ms']
        assert len(row['times_ms']) == len(row['load_average']) == 2
        assert row['branches'] == before['branches']
    assert 'ms per iteration' in capsys.readouterr().out


def test_a_record_of_another_shape_or_of_other_budgets_is_made_anew(measure):
    run, peaks = measure
    run('--rounds', '1')
    assert run('--rounds', '1', '--shape', '1', '2', '16', '24')['shape'] == [1, 2, 16, 24]
    assert len(peaks) == 10
    assert len(run('--rounds', '1', '--budgets', '0.2', '0.8')['rows']) == 6
    assert len(peaks) == 16


@pytest.mark.parametrize(
    ('arguments', 'message'), [(['--rounds', '0'], '--rounds is at least 1'), (['--budgets', '1.5'], 'from 0 to 1')]
)
def test_wrong_arguments_are_refused(arguments, message):
    result = run_script(ROOT / 'benchmarks/recompute.py', *arguments)
    assert result.returncode == 2
    assert message in result.stderr
