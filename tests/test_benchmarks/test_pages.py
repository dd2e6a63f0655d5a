"""The command that writes the generated pages."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rendering.render import TEMPLATES, page_names

ROOT = Path(__file__).resolve().parents[2]
SLOW = ('docs/troubleshooting.md', 'docs/vrt.md')
PAGES = {'docs/data.md': ('91 % of a clip', '90 % of a clip'), 'docs/instrument.md': ('2.3 % longer', '2.2 % longer')}
"""What stands there, and what stood there before."""


def run(*arguments):
    command = [sys.executable, ROOT / 'benchmarks/pages.py', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_the_pages_that_ship_are_up_to_date():
    done = run('--check', '--only', *(page for page in page_names(ROOT) if page not in SLOW))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize('page', SLOW)
def test_the_pages_that_take_long_are_up_to_date(page):
    done = run('--check', '--only', page)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A checkout with two records, and pages with a table and a number of them, both out of date."""
    for name in (*PAGES, 'benchmarks/records/data/speed.json', 'benchmarks/records/overhead/tiny.json'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / TEMPLATES, tmp_path / TEMPLATES)
    for name, (kept, lost) in PAGES.items():
        text = (tmp_path / name).read_text(encoding='utf-8')
        assert kept in text
        (tmp_path / name).write_text(text.replace(kept, lost), encoding='utf-8')
    return tmp_path


def test_check_names_every_outdated_page_and_writes_nothing(checkout):
    before = {path: path.read_bytes() for path in checkout.rglob('*.md')}
    done = run('--check', '--root', checkout, '--only', *PAGES)
    assert done.returncode == 1
    assert done.stderr == (
        'error: out of date:\n  docs/data.md\n  docs/instrument.md\nrun python benchmarks/pages.py\n'
    )
    assert {path: path.read_bytes() for path in checkout.rglob('*.md')} == before


def test_writes_what_check_named(checkout):
    assert run('--root', checkout, '--only', *PAGES).returncode == 0
    for name in PAGES:
        assert (checkout / name).read_bytes() == (ROOT / name).read_bytes()


def test_an_error_in_one_page_leaves_all_pages_alone(checkout):
    before = (checkout / 'docs/data.md').read_bytes()
    (checkout / 'benchmarks/records/overhead/tiny.json').unlink()
    done = run('--root', checkout, '--only', *PAGES)
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: {checkout}/benchmarks/records/overhead/tiny.json: no such record')
    assert (checkout / 'docs/data.md').read_bytes() == before


def test_help_lists_the_pages_and_examples():
    done = run('--help')
    assert done.returncode == 0
    assert all(f'  {page}\n' in done.stdout for page in page_names(ROOT))
    assert 'python benchmarks/pages.py --check' in done.stdout


def test_another_page_is_a_usage_error():
    done = run('--only', 'docs/api.md')
    assert done.returncode == 2
    assert "invalid choice: 'docs/api.md'" in done.stderr
