"""What every command does on ``--help``: it shows examples, and it imports nothing slow before that."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = sorted(ROOT.glob('tools/*.py'))
SUBCOMMANDS = ('compare', 'check', 'plot_curve', 'cal_train_time', 'trace')
# Each takes half a second or more to import.
SLOW = {'torch', 'mmcv', 'scipy', 'skimage', 'matplotlib', 'fvcore'}
PROGRAM = f"""
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
finally:
    print('loaded:', *sorted({SLOW!r} & set(sys.modules)), file=sys.stderr)
"""


def help_of(tool: Path, *subcommand: str) -> subprocess.CompletedProcess:
    """Run ``tool --help`` and end its standard error with the slow libraries that it imported."""
    program = f'import sys; sys.argv = {[str(tool), *subcommand, "--help"]!r}{PROGRAM}'
    return subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.stem)
def test_help_shows_examples_and_imports_nothing_slow(tool):
    process = help_of(tool)
    assert process.returncode == 0, process.stderr
    assert f'  python tools/{tool.name} ' in process.stdout
    assert process.stderr.splitlines()[-1] == 'loaded:'


@pytest.mark.parametrize('subcommand', SUBCOMMANDS)
def test_every_subcommand_of_analyze_logs_has_examples(subcommand):
    process = help_of(ROOT / 'tools/analyze_logs.py', subcommand)
    assert process.returncode == 0, process.stderr
    assert f'examples:\n  python tools/analyze_logs.py {subcommand}' in process.stdout


def test_a_slow_import_would_be_noticed(tmp_path):
    tool = tmp_path / 'slow.py'
    tool.write_text('import matplotlib\n')
    assert help_of(tool).stderr == 'loaded: matplotlib\n'


def test_importing_the_package_imports_nothing_slow():
    program = f'import sys, vrtspike; sys.exit(" ".join({SLOW!r} & set(sys.modules)) or 0)'
    process = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
