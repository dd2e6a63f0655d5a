"""The pictures of the docs are those of their records."""

import sys
from pathlib import Path

import numpy as np
import pictures
import pytest
from PIL import Image

SHIPPED = Path(__file__).resolve().parents[2] / 'docs/images'


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['pictures.py', '--out', str(folder)])
        pictures.main()
    return folder


@pytest.mark.parametrize('name', pictures.PICTURES)
def test_a_picture_is_of_its_record(name, drawn):
    ours, shipped = (np.asarray(Image.open(folder / name).convert('RGB'), dtype=float) for folder in (drawn, SHIPPED))
    assert ours.shape == shipped.shape
    assert np.abs(ours - shipped).mean() < 2
