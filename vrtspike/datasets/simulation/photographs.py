"""The photographs in scikit-image's wheel as linear light."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from vrtspike.datasets.color import decode_srgb
from vrtspike.datasets.io.images import read_image
from vrtspike.errors import DataError

# Photographs of one scene are in one split: the two motorcycles are a stereo pair.
TRAIN_PHOTOGRAPHS = (
    'astronaut.png',
    'motorcycle_left.png',
    'rocket.jpg',
    'ihc.png',
    'brick.png',
    'page.png',
    'grass.png',
    'retina.jpg',
    'motorcycle_right.png',
    'text.png',
    'gravel.png',
    'hubble_deep_field.jpg',
    'moon.png',
)
VAL_PHOTOGRAPHS = ('chelsea.png', 'coffee.png', 'camera.png', 'coins.png')


@functools.cache
def load_photograph(name: str) -> np.ndarray:
    """Return a photograph as linear light, (H, W, 3) float32 RGB in [0, 1]; read from disk, never downloaded."""
    import skimage

    path = Path(skimage.__file__).parent / 'data' / name
    try:
        linear = decode_srgb(read_image(path).astype(np.float32) / 255)
    except DataError as error:
        raise DataError(
            f'{error}; it is part of scikit-image: install that again '
            '(pip install --force-reinstall --no-deps scikit-image)'
        ) from error
    linear.flags.writeable = False
    return linear
