"""The photographs in scikit-image's wheel as linear light."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from vrtspike.datasets.color import decode_srgb
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
        with Image.open(path) as image:  # not by OpenCV, which warns of a colour profile in one of them
            encoded = np.asarray(image.convert('RGB'), np.float32) / 255
    except OSError as error:
        raise DataError(
            f'{path} is missing or damaged; it is part of scikit-image: install that again '
            '(pip install --force-reinstall --no-deps scikit-image)'
        ) from error
    linear = decode_srgb(encoded)
    linear.flags.writeable = False
    return linear
