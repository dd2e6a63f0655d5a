"""A tiny demo that the tests of data sets share."""

import shutil
from pathlib import Path

import pytest

from vrtspike.datasets import write_demo

TINY = {'train_clips': 2, 'val_clips': 2, 'frames': 4, 'size': 32, 'steps_per_frame': 16}


@pytest.fixture(scope='session')
def tiny_demo(tmp_path_factory) -> Path:
    """Demo clips of 32 x 32 pixels, 4 frames and 16 steps a frame; tests must not change them."""
    return write_demo(tmp_path_factory.mktemp('data') / 'tiny', **TINY, progress=False)


@pytest.fixture
def tiny_copy(tiny_demo, tmp_path) -> Path:
    """A copy of the tiny demo that a test may damage."""
    return Path(shutil.copytree(tiny_demo, tmp_path / 'copy'))
