"""The command that writes the generated parts of all pages."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from writers import WRITERS

ROOT = Path(__file__).resolve().parents[2]
SLOW = ('held', 'counts')


def run(*arguments):
    command = [sys.executable, ROOT / 'benchmarks/pages.py', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    'writer', [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in WRITERS]
)
def test_the_pages_that_ship_are_up_to_date(writer):
    done = run('--check', '--only', writer)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a record, and a page with a table and a number of it, both out of date."""
    for name in ('docs/data.md', 'docs/instrument.md', 'benchmarks/records/data/speed.json',
                 'benchmarks/records/overhead/tiny.json'):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name, kept, lost in (('data', '91 % of a clip', '90 % of a clip'), ('instrument', '>2.3<', '>2.2<')):
        page = tmp_path / f'docs/{name}.md'
        text = page.read_text(encoding='utf-8')
        assert kept in text
        page.write_text(text.replace(kept, lost), encoding='utf-8')
    return tmp_path


def test_check_names_every_outdated_part_and_writes_nothing(checkout):
    before = {path: path.read_bytes() for path in checkout.rglob('*.md')}
    done = run('--check', '--root', checkout, '--only', 'data', 'figures')
    assert done.returncode == 1
    assert done.stderr == (
        'error: out of date:\n  docs/data.md: speed\n  docs/instrument.md: =overhead.measured\n'
        'run python benchmarks/pages.py\n'
    )
    assert {path: path.read_bytes() for path in checkout.rglob('*.md')} == before


def test_writes_what_check_named(checkout):
    assert run('--root', checkout, '--only', 'data', 'figures').returncode == 0
    for name in ('docs/data.md', 'docs/instrument.md'):
        assert (checkout / name).read_bytes() == (ROOT / name).read_bytes()


def test_an_error_of_one_writer_leaves_all_pages_alone(checkout):
    before = (checkout / 'docs/data.md').read_bytes()
    (checkout / 'benchmarks/records/overhead/tiny.json').unlink()
    done = run('--root', checkout, '--only', 'data', 'figures')
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: {checkout}/benchmarks/records/overhead/tiny.json: no such record')
    assert (checkout / 'docs/data.md').read_bytes() == before


def test_help_lists_the_writers_and_examples():
    done = run('--help')
    assert done.returncode == 0
    assert all(f'  {name} ' in done.stdout for name in WRITERS)
    assert 'python benchmarks/pages.py --check' in done.stdout


def test_another_writer_is_a_usage_error():
    done = run('--only', 'tables')
    assert done.returncode == 2
    assert "invalid choice: 'tables'" in done.stderr
