import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'benchmarks/model_zoo.py'


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True)


def test_the_page_is_made_from_the_records():
    process = run('--check')
    assert process.returncode == 0, process.stderr


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what the page needs."""
    for folder in ('benchmarks/zoo', 'configs'):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / 'docs').mkdir()
    return tmp_path


def test_a_changed_record_changes_the_page(checkout):
    assert run('--root', checkout).returncode == 0
    record = checkout / 'benchmarks/zoo/tiny.json'
    results = json.loads(record.read_text())
    results['mean_of_clips']['psnr_db'] = 99.0
    record.write_text(json.dumps(results))
    stale = run('--root', checkout, '--check')
    assert stale.returncode == 1
    assert 'run python benchmarks/model_zoo.py' in stale.stderr
    assert run('--root', checkout).returncode == 0
    assert '| 99.00 |' in (checkout / 'docs/model_zoo.md').read_text()


def test_a_record_without_a_config_is_refused(checkout):
    (checkout / 'benchmarks/zoo/tiny.json').rename(checkout / 'benchmarks/zoo/unknown.json')
    process = run('--root', checkout)
    assert process.returncode == 1
    assert 'has no config' in process.stderr


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
