import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / 'tests/test_analysis/data'


@pytest.fixture
def checkout(tmp_path):
    """A checkout's READMEs and the folder of a run."""
    for name in ('README.md', 'README_zh-CN.md'):
        (tmp_path / name).write_text(
            'before\n<!-- report:begin -->\nold\n<!-- report:end -->\nafter\n', encoding='utf-8'
        )
    (tmp_path / 'run').mkdir()
    shutil.copy(DATA / 'legacy_timing.txt', tmp_path / 'run')
    return tmp_path


def write_report(root: Path, run: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / 'benchmarks/readme_report.py'), str(run), '--root', str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_excerpt_and_picture_are_written(checkout):
    done = write_report(checkout, checkout / 'run')
    assert done.returncode == 0, done.stderr
    texts = {(checkout / name).read_text(encoding='utf-8') for name in ('README.md', 'README_zh-CN.md')}
    assert len(texts) == 1
    text = texts.pop()
    assert text.startswith('before\n<!-- report:begin -->\n```text\nSummary\n')
    assert text.endswith('```\n<!-- report:end -->\nafter\n')
    for kept in ('1. stage8', '8. other', 'These times rank nothing yet', '2. stage8'):
        assert kept in text
    for left_out in ('Time by stage', 'What these numbers', 'old'):
        assert left_out not in text
    assert (checkout / 'docs/images/report.png').read_bytes().startswith(b'\x89PNG')


def test_no_log(checkout):
    done = write_report(checkout, checkout / 'nowhere')
    assert done.returncode == 1
    assert 'there is no log' in done.stderr
    assert 'old' in (checkout / 'README.md').read_text(encoding='utf-8')
