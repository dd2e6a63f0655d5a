import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_page_that_ships_is_what_is_counted():
    command = [sys.executable, ROOT / 'benchmarks/held_table.py', '--check']
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_the_page_names_its_command():
    assert 'python benchmarks/held_table.py' in (ROOT / 'docs/troubleshooting.md').read_text(encoding='utf-8')
