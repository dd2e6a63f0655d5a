"""What the tests of the benchmarks share: imports of their modules and of made-up records; pages of a checkout."""

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).resolve().parents[2] / 'benchmarks'), str(Path(__file__).parent)]


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
