"""docs/training.md from records of recipes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHERE = dict(device={'type': 'cpu', 'name': 'a processor', 'threads': 1}, versions={'torch': '2'}, commit='0' * 40)


def run(root, *arguments):
    command = [sys.executable, ROOT / 'benchmarks/training_tables.py', '--root', root, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def recipe(before, after):
    def runs(values):
        return [{'seed': i, 'psnr_db': value, 'gain_db': 1.0, 'run_s': 10.0} for i, value in enumerate(values)]

    settings = {'config': 'configs/x.py', 'iterations': 300}
    return dict(
        recipe='distillation', settings=settings, runs={'alone': runs(before), 'taught': runs(after)}, **WHERE
    )  # fmt: skip


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs/training.md').write_text('before\n<!-- recipes:begin -->\n<!-- recipes:end -->\nafter\n')
    (tmp_path / 'benchmarks/records/training').mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ('after', 'said'),
    [
        ([27.5, 27.6, 27.55], 'It helps.'),
        ([26.5, 26.6, 26.55], 'It costs quality.'),
        ([26.5, 27.6, 27.0], 'The seeds do not tell whether it helps.'),
    ],
)
def test_the_verdict_follows_from_the_interval(root, after, said):
    record = recipe([27.0, 27.1, 27.05], after)
    (root / 'benchmarks/records/training/distillation.json').write_text(json.dumps(record))
    assert run(root, '--check').returncode == 1
    assert run(root).returncode == 0
    text = (root / 'docs/training.md').read_text()
    assert said in text
    assert f'| 0 | 27.00 (10) | {after[0]:.2f} (10) | {after[0] - 27:+.2f} |' in text
    assert run(root, '--check').returncode == 0


def test_the_page_is_made_from_the_records():
    done = run(ROOT, '--check')
    assert done.returncode == 0, done.stderr


def test_memory_of_the_second_half(root):
    readings = [{'iteration': i, 'host_mib': 900.0 if i < 2 else 1000.0 + i} for i in range(4)]
    growth = {'host': 1.5}
    record = dict(config='x', iterations=4, growth_mib_per_1000_iterations=growth, readings=readings, **WHERE)
    (root / 'benchmarks/records/training/memory.json').write_text(json.dumps(record))
    run(root)
    assert (
        '1,002 to 1,003 MiB resident in the second half, a slope of +1.5 MiB (host)'
        in (root / 'docs/training.md').read_text()
    )
