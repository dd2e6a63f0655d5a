import json
from pathlib import Path

import jsonschema
import pytest

from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / 'benchmarks/record.schema.json').read_text(encoding='utf-8'))
RECORDS = sorted((ROOT / 'benchmarks/records').glob('*.json'))

RECORD = {
    'note': '',
    'iterations': 1700,
    'iterations_timed': 1699,
    'iteration_ms_median': 419.6,
    'data_ms_median': 6.7,
    'peak_memory_mib': 1037.8,
    'parameters': 1854637,
    'validation': {
        'iteration': 1700,
        'mean': {'blur_psnr_db': 25.659, 'psnr_db': 28.164, 'gain_db': 2.505, 'blur_ssim': 0.80809, 'ssim': 0.87},
        'clips': [{'clip': '000_chelsea/00000'}],
    },
    'versions': {'vrtspike': '0.1.0', 'python': '3.11.7', 'torch': '2.13.0'},
    'device': {'type': 'cpu', 'name': 'A Processor', 'threads': 2},
    'commit': f'{"0123456789" * 4}-dirty',
}
ROW = (
    '| `python tools/train.py configs/vrt_spike_tiny.py` | 1,700 | 1,854,637 | 25.66 | 28.16 | +2.50 | 0.8081 | 0.8700 '
    '| 420 | 1038 | A Processor, 2 threads | 2.13.0 | 01234567-dirty |'
)


def write_record(root: Path, name: str, gain: float) -> None:
    mean = {**RECORD['validation']['mean'], 'gain_db': gain}
    record = {**RECORD, 'validation': {**RECORD['validation'], 'mean': mean}}
    (root / f'benchmarks/records/{name}.json').write_text(json.dumps(record))


@pytest.fixture
def root(tmp_path) -> Path:
    """A checkout with two records and out-of-date READMEs."""
    for folder in ('configs', 'benchmarks/records'):
        (tmp_path / folder).mkdir(parents=True)
    for name, gain in {'poor': -0.25, 'tiny': 2.505}.items():
        (tmp_path / f'configs/vrt_spike_{name}.py').touch()
        write_record(tmp_path, name, gain)
    for name in ('README.md', 'README_zh-CN.md'):
        (tmp_path / name).write_text('before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n')
    return tmp_path


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_records_are_whole(path):
    jsonschema.validate(json.loads(path.read_text(encoding='utf-8')), SCHEMA)


def test_schema_takes_a_record_and_refuses_a_partial_one():
    jsonschema.validate(RECORD, SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="'commit' is a required property"):
        jsonschema.validate({key: value for key, value in RECORD.items() if key != 'commit'}, SCHEMA)


def test_table_between_the_markers_best_first(root, render):
    lines = render('README.md', root).splitlines()
    assert lines[:2] == ['before', '<!-- results:begin -->']
    assert lines[4] == ROW
    assert lines[5].split(' | ')[5] == '-0.25'
    assert lines[6:] == ['<!-- results:end -->', 'after']
    chinese = render('README_zh-CN.md', root).splitlines()
    assert chinese[2].startswith('| 命令 |')
    assert chinese[4] == ROW


def test_another_record_gives_another_table(root, render):
    before = render('README.md', root)
    assert render('README.md', root) == before
    write_record(root, 'poor', 0.5)
    assert render('README.md', root) != before


def test_record_without_a_config(root, render):
    write_record(root, 'stray', 1.0)
    with pytest.raises(VrtSpikeError, match=r'expected configs/vrt_spike_stray\.py'):
        render('README.md', root)
