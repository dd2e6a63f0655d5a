"""Files that other people made, beside the project; tests that need one are skipped where it is absent."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1].parent / 'shared' / 'real'


def real_file(name: str) -> Path:
    """Return the path of a file or folder in ``../shared/real``, or skip the test."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f'../shared/real/{name} is not there')
    return path
