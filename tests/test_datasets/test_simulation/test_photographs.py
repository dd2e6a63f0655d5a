from importlib.metadata import files

import numpy as np
import pytest

from vrtspike.datasets.color import decode_srgb, encode_srgb, luminance
from vrtspike.datasets.simulation import photographs
from vrtspike.datasets.simulation.photographs import TRAIN_PHOTOGRAPHS, VAL_PHOTOGRAPHS, load_photograph
from vrtspike.errors import DataError

ALL = TRAIN_PHOTOGRAPHS + VAL_PHOTOGRAPHS


def test_no_photograph_and_no_scene_is_on_both_sides():
    assert len(set(ALL)) == len(ALL)
    assert {'motorcycle_left.png', 'motorcycle_right.png'} <= set(TRAIN_PHOTOGRAPHS)
    assert len(TRAIN_PHOTOGRAPHS) >= 12
    assert len(VAL_PHOTOGRAPHS) >= 4


def test_all_photographs_are_in_the_wheel():
    shipped = {path.name for path in files('scikit-image') if path.parent.as_posix() == 'skimage/data'}
    assert set(ALL) <= shipped


@pytest.mark.parametrize('name', ALL)
def test_photographs_are_linear_rgb(name):
    photo = load_photograph(name)
    assert photo.ndim == 3
    assert photo.shape[2] == 3
    assert photo.dtype == np.float32
    assert 0 <= photo.min() < photo.max() <= 1


def test_a_missing_photograph_says_how_to_get_it_back():
    with pytest.raises(DataError, match=r'nothing\.png is missing or damaged.*pip install'):
        photographs.load_photograph('nothing.png')


def test_srgb_has_its_published_values_and_inverts():
    np.testing.assert_allclose(decode_srgb(np.array([0, 0.04, 0.5, 1])), [0, 0.0030960, 0.2140411, 1], atol=1e-6)
    levels = np.arange(256) / 255
    np.testing.assert_allclose(encode_srgb(decode_srgb(levels)), levels, atol=1e-6)


def test_white_has_a_luminance_of_one():
    np.testing.assert_allclose(luminance(np.ones((2, 2, 3), np.float32)), 1, atol=1e-6)
