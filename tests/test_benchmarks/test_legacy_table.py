import re
import subprocess
import sys
from pathlib import Path

from vrtspike.config.legacy import RULES

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'benchmarks/legacy_table.py'


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_the_page_that_ships_is_made_from_the_rules():
    done = run('--check')
    assert done.returncode == 0, done.stderr


def test_every_key_has_a_row_that_says_something(tmp_path):
    (tmp_path / 'docs').mkdir()
    page = tmp_path / 'docs/migration.md'
    page.write_text('before\n<!-- legacy:begin -->\n<!-- legacy:end -->\nafter\n')
    assert run('--root', tmp_path, '--check').returncode == 1
    assert run('--root', tmp_path).returncode == 0
    rows = dict(re.findall(r'^\| `([\w.]+)` \| (.+) \|$', page.read_text(), re.MULTILINE))
    assert list(rows) == list(RULES)
    assert rows['TRAIN.OPTIM.LR'] == '`optim_wrapper.optimizer.lr`'
    assert rows['MODEL.FUSE.TYPE'] == 'had no effect'
    assert rows['TRAIN.AMP_ENABLED'] == 'had no effect; `optim_wrapper.type`'
    assert rows['DATA.SPIKE_DIR'].startswith("only 'spike'")
    assert rows['TRAIN.EPOCHS'].startswith('trainings are counted in iterations')
    assert page.read_text().startswith('before\n')
