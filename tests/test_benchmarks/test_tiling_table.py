"""docs/restore.md from the results of two tests."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(root, *arguments):
    command = [sys.executable, ROOT / 'benchmarks/tiling_table.py', '--root', root, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def write(root, whole_db, tiled_db, tiled_sha='a'):
    (root / 'docs').mkdir()
    (root / 'docs/restore.md').write_text('<!-- tiling:begin -->\n<!-- tiling:end -->\n')
    for name, value, sha in (('zoo/tiny.json', whole_db, 'a'), ('tiling/tiny_tile64.json', tiled_db, tiled_sha)):
        results = dict(
            checkpoint_sha256=sha,
            tiling=dict(tile=[5, 64, 64], overlap=[2, 16, 16]),
            clips=[dict(clip='one', psnr_db=value)],
            mean_of_clips=dict(psnr_db=value),
        )
        (root / 'benchmarks' / name).parent.mkdir(parents=True)
        (root / 'benchmarks' / name).write_text(json.dumps(results))


def test_clips_and_their_mean(tmp_path):
    write(tmp_path, 28.5, 28.491)
    assert run(tmp_path, '--check').returncode == 1
    assert run(tmp_path).returncode == 0
    text = (tmp_path / 'docs/restore.md').read_text()
    assert '| one | 28.500 | 28.491 | -0.009 |\n| mean | 28.500 | 28.491 | -0.009 |' in text
    assert run(tmp_path, '--check').returncode == 0


def test_results_of_different_checkpoints_are_refused(tmp_path):
    write(tmp_path, 28.5, 28.491, tiled_sha='b')
    done = run(tmp_path)
    assert done.returncode == 1
    assert 'different checkpoints' in done.stderr


def test_the_page_is_made_from_the_records():
    done = run(ROOT, '--check')
    assert done.returncode == 0, done.stderr
