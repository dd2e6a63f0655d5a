"""What the tests of the benchmarks share: imports of their modules and of made-up records; rendering of a page."""

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / 'benchmarks'), str(Path(__file__).parent)]


@pytest.fixture
def render():
    """Return a page as the templates of this checkout render it from the records of another one."""
    from pages import TEMPLATES, PageRenderer

    def render(page, root):
        shutil.copytree(ROOT / TEMPLATES, root / TEMPLATES, dirs_exist_ok=True)
        return PageRenderer(root).render(page)

    return render
