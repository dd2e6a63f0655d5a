"""The photographs that ship inside scikit-image's wheel, as linear light, and their colour encoding."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from vrtspike.errors import DataError

# Photographs of one scene stay on one side: the two motorcycles are a stereo pair.
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
        with Image.open(path) as image:
            encoded = np.asarray(image.convert('RGB'), np.float32) / 255
    except OSError as error:
        raise DataError(
            f'{path} is missing or damaged; it ships inside the wheel of scikit-image: install it again '
            '(pip install --force-reinstall --no-deps scikit-image)'
        ) from error
    linear = decode_srgb(encoded)
    linear.flags.writeable = False
    return linear


def decode_srgb(encoded: np.ndarray) -> np.ndarray:
    """Return the linear light of sRGB-encoded values, both in [0, 1]."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Return linear light encoded as sRGB, both in [0, 1]; light beyond that range is clipped."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def luminance(linear: np.ndarray) -> np.ndarray:
    """Return the grey intensity (..., H, W) of linear RGB (..., H, W, 3), with the weights of Rec. 709."""
    return linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
