import json
import re
import shutil
from pathlib import Path

import pytest

from vrtspike.errors import VrtSpikeError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what the page needs."""
    for folder in ('benchmarks/zoo', 'configs'):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_a_changed_record_changes_the_page(checkout, render):
    record = checkout / 'benchmarks/zoo/tiny.json'
    results = json.loads(record.read_text())
    results['mean_of_clips']['psnr_db'] = 99.0
    record.write_text(json.dumps(results))
    assert '| 99.00 |' in render('docs/model_zoo.md', checkout)


def test_networks_stand_best_first(checkout, render):
    results = json.loads((checkout / 'benchmarks/zoo/tiny.json').read_text())
    results['mean_of_clips']['psnr_db'] = 99.0
    (checkout / 'benchmarks/zoo/lite.json').write_text(json.dumps(results))
    text = render('docs/model_zoo.md', checkout)
    assert re.findall(r'^## (\w+)$', text, re.MULTILINE) == ['lite', 'tiny']
    assert re.findall(r'^\| \[(\w+)\]', text, re.MULTILINE) == ['lite', 'tiny']


def test_a_record_without_a_config_is_refused(checkout, render):
    (checkout / 'benchmarks/zoo/tiny.json').rename(checkout / 'benchmarks/zoo/unknown.json')
    with pytest.raises(VrtSpikeError, match='has no config'):
        render('docs/model_zoo.md', checkout)


def test_what_tiling_costs_is_what_was_measured():
    whole, tiled = (
        json.loads((ROOT / path).read_text())
        for path in ('benchmarks/zoo/tiny.json', 'benchmarks/tiling/tiny_tile64.json')
    )
    assert whole['checkpoint_sha256'] == tiled['checkpoint_sha256']
    rows = [(a['clip'], a, b) for a, b in zip(whole['clips'], tiled['clips'], strict=True)]
    rows.append(('mean', whole['mean_of_clips'], tiled['mean_of_clips']))
    expected = [
        f'| {name} | {a["psnr_db"]:.3f} | {b["psnr_db"]:.3f} | {b["psnr_db"] - a["psnr_db"]:+.3f} |'
        for name, a, b in rows
    ]
    text = (ROOT / 'docs/restore.md').read_text(encoding='utf-8')
    assert re.findall(r'^\| (?:\d{3}_\w+|mean) \|.*\|$', text, re.MULTILINE) == expected
    assert all(a['psnr_db'] - b['psnr_db'] <= 0.1 for _, a, b in rows)
