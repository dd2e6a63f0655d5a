"""From finished runs to the record."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from vrtspike.experiments.record import AblationRecord, read_stage_costs

ROOT = Path(__file__).parents[2]


def by_name(record):
    return {variant.name: variant for variant in record.variants}


def test_says_what_was_compared(record):
    assert (record.config, record.shared_overrides, record.seeds) == ('base.py', {'a.b': 1}, [0, 1, 2])
    assert (record.iterations, record.commit) == (10, '0' * 40)


def test_its_json_is_what_the_schema_describes(record):
    found = json.loads(json.dumps(msgspec.to_builtins(record), allow_nan=False))
    jsonschema.validate(found, json.loads((ROOT / 'benchmarks/ablation.schema.json').read_text()))
    assert list(found['variants'][0]) == [
        *('name', 'overrides', 'plugins', 'failure', 'parameters', 'gmacs', 'iteration_ms', 'stage_ms'),
        *('peak_memory_mib', 'psnr_db', 'gain_db', 'ssim', 'difference_db', 'runs'),
    ]
    assert list(found['variants'][0]['runs'][0]) == [
        *('seed', 'blur_psnr_db', 'psnr_db', 'gain_db', 'ssim', 'iteration_ms', 'peak_memory_mib', 'commit'),
    ]
    assert found['variants'][1]['difference_db'].keys() == {'mean', 'low', 'high', 'seeds', 'verdict', 'why'}
    assert msgspec.convert(found, AblationRecord) == record


@pytest.mark.parametrize('path', sorted(ROOT.glob('benchmarks/ablations/*.json')), ids=lambda path: path.stem)
def test_records_that_are_kept_are_read(path):
    found = json.loads(path.read_text(encoding='utf-8'))
    record = msgspec.convert(found, AblationRecord)
    assert [variant.name for variant in record.variants] == [variant['name'] for variant in found['variants']]


def test_a_row_has_quality_and_costs(record):
    reference = by_name(record)['reference']
    assert reference.psnr_db.mean == pytest.approx(28.1)
    assert reference.gain_db.mean == pytest.approx(3.1)
    assert (reference.parameters, reference.gmacs, reference.peak_memory_mib) == (7, 1.5, 50.0)
    assert reference.stage_ms == {'fuse1': 3.0, 'stage1': 3.0}
    assert reference.difference_db is None


def test_verdicts(record):
    found = {name: variant.difference_db.verdict for name, variant in by_name(record).items() if variant.difference_db}
    assert found == {'better': 'better', 'worse': 'worse', 'absent': 'not informative'}


def test_a_failure_is_told(record):
    assert {name: variant.failure for name, variant in by_name(record).items()} == {
        'reference': None,
        'better': None,
        'worse': None,
        'absent': 'out of luck',
    }


def test_without_an_instrument_costs_are_unknown(tmp_path):
    assert read_stage_costs(tmp_path / 'none.jsonl') == (None, None)
