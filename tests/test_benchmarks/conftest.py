"""What the tests of the benchmarks share: their modules can be imported, and pages of a small checkout written."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / 'benchmarks'))


@pytest.fixture
def update():
    """Write what a writer writes into a checkout; return the places that were out of date."""
    from writers import places
    from writers.places import changed, write

    def update(writer, root):
        outdated, texts = changed(root, places(writer, root))
        write(root, texts)
        return outdated

    return update
