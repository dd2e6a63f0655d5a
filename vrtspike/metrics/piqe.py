"""PIQE, a score of one image without a target (Venkatanath et al., NCC 2015, doi 10.1109/NCC.2015.7084843).

It needs no weights. NIQE and BRISQUE need statistics of other images, which no package that installs here brings along.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vrtspike.errors import ConfigError
from vrtspike.metrics.frames import luma

NoReference = Callable[[np.ndarray], float]
"""A function of a uint8 RGB image that returns its score."""


def load_piqe() -> NoReference:
    """Return PIQE of the luma of an (H, W, 3) uint8 RGB image, 0 (best) to 100; computed by the package ``pypiqe``.

    Blur, noise and blocks raise it. It knows nothing of the scene: a sharp wrong frame scores well.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        from pypiqe import piqe
    except ImportError as error:
        raise ConfigError('PIQE needs the package pypiqe, which is not installed: pip install pypiqe') from error
    return lambda image: float(piqe(luma(image[None])[0])[0])
