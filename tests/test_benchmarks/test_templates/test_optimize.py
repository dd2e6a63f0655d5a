"""docs/optimize.md from the record of a search."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RECORD = ROOT / 'benchmarks/records/optimize/tiny.json'


def test_without_a_record_it_says_so(tmp_path, render):
    assert 'No record yet.' in render('docs/optimize.md', tmp_path)


def test_the_command_the_best_and_the_config(tmp_path, render):
    found = json.loads(RECORD.read_text(encoding='utf-8'))
    path = tmp_path / 'benchmarks/records/optimize/tiny.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(found))
    text = render('docs/optimize.md', tmp_path)
    assert '`python tools/optimize.py configs/vrt_spike_tiny.py' in text
    assert found['output']['text'].rstrip() in text
    for trial in found['trials']:
        if 'saving' in trial:
            assert f'| {trial["name"]} | ' in text
