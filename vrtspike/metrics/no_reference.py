"""Scores of one image without a target: PIQE, NIQE and BRISQUE.

They respond to blur, noise and blocking, not to the scene: a sharp frame of the wrong scene scores well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch

from vrtspike.errors import ConfigError, DataError
from vrtspike.metrics.frames import luma

NoReference = Callable[[np.ndarray], float]
"""A function of a uint8 RGB image that returns its score."""


def load_no_reference(names: Iterable[str]) -> dict[str, NoReference]:
    """Return the scores with these names, functions of an (H, W, 3) uint8 RGB image. Smaller is better.

    Args:
        names: Names from :data:`NO_REFERENCE`.

    Raises:
        ConfigError: A package is not installed, or cannot load its weights.
    """
    return {name: NO_REFERENCE[name]() for name in names}


def load_piqe() -> NoReference:
    """Return PIQE of the luma, 0 (best) to 100 (Venkatanath et al., NCC 2015, doi 10.1109/NCC.2015.7084843).

    It needs no weights.
    """
    try:
        from pypiqe import piqe
    except ImportError as error:
        raise ConfigError('PIQE needs the package pypiqe, which is not installed: pip install pypiqe') from error
    return lambda image: float(piqe(luma(image[None])[0])[0])


def load_niqe() -> NoReference:
    """Return NIQE, 0 (best) and more (Mittal et al., IEEE Signal Processing Letters 2013)."""
    return load_pyiqa('niqe')


def load_brisque() -> NoReference:
    """Return BRISQUE, about 0 (best) to 100 (Mittal et al., IEEE Trans. Image Processing 2012)."""
    return load_pyiqa('brisque')


def load_pyiqa(name: str) -> NoReference:
    """Return a score of the package ``pyiqa``, which downloads its weights when it is first used.

    The package needs torchvision, so it is not among our extras; its licence allows no commercial use.
    """
    try:
        from pyiqa import create_metric
    except Exception as error:  # also what torchvision raises if it does not fit torch
        raise ConfigError(
            f'{name.upper()} needs the package pyiqa, which cannot be imported ({error}): pip install pyiqa'
        ) from error
    try:
        metric = create_metric(name, device='cpu')
    except Exception as error:  # by network or file system, of many types
        raise ConfigError(f'pyiqa cannot load {name.upper()}, whose weights it downloads: {error}') from error

    def score(image: np.ndarray) -> float:
        size = f'a frame of {image.shape[0]} x {image.shape[1]} pixels'
        try:
            value = float(metric(torch.from_numpy(image).permute(2, 0, 1)[None] / 255))
        except Exception as error:  # as from frames below its least size
            raise DataError(f'pyiqa cannot score {name.upper()} of {size}: {error}') from error
        if not math.isfinite(value):
            raise DataError(f'pyiqa returned {value} as {name.upper()} of {size}: it may be too small or too uniform')
        return value

    return score


#: How each score is loaded, by name.
NO_REFERENCE: dict[str, Callable[[], NoReference]] = {
    'piqe': load_piqe,
    'niqe': load_niqe,
    'brisque': load_brisque,
}
