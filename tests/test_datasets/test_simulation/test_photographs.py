from importlib.metadata import files

import numpy as np
import pytest

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
