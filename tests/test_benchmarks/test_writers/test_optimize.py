"""docs/optimize.md from the record of a search."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RECORD = ROOT / 'benchmarks/records/optimize/tiny.json'


def prepare(root):
    (root / 'docs').mkdir()
    (root / 'docs/optimize.md').write_text('<!-- tiny:begin -->\n<!-- tiny:end -->\n')
    (root / 'benchmarks/records/optimize').mkdir(parents=True)
    return root / 'benchmarks/records/optimize/tiny.json'


def test_without_a_record_it_says_so(tmp_path, update):
    prepare(tmp_path)
    update('optimize', tmp_path)
    assert 'No record yet.' in (tmp_path / 'docs/optimize.md').read_text()


def test_the_command_the_best_and_the_config(tmp_path, update):
    found = json.loads(RECORD.read_text(encoding='utf-8'))
    prepare(tmp_path).write_text(json.dumps(found))
    update('optimize', tmp_path)
    text = (tmp_path / 'docs/optimize.md').read_text(encoding='utf-8')
    assert '`python tools/optimize.py configs/vrt_spike_tiny.py' in text
    assert found['output']['text'].rstrip() in text
    for trial in found['trials']:
        if 'saving' in trial:
            assert f'| {trial["name"]} | ' in text
