"""Evaluation protocols of projects that score differently, so that a number can be compared with theirs.

All of them score whole 8-bit images; none crops a border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vrtspike.metrics.frames import luma
from vrtspike.metrics.psnr_ssim import ssim, ssim_of_signed_values


@dataclass(frozen=True)
class Protocol:
    """How a restored frame is compared with its target.

    Args:
        summary: What differs, for help and results.
        ssim: SSIM of two uint8 images.
        gray: Whether both images are turned into their luma (BT.601) first.
    """

    summary: str
    ssim: Callable[[np.ndarray, np.ndarray], float] = ssim
    gray: bool = False

    def image(self, image: np.ndarray) -> np.ndarray:
        """Return the image that is scored, (H, W, 3) or (H, W) uint8, of (H, W, 3) uint8 RGB."""
        return luma(image[None])[0] if self.gray else image


PROTOCOLS = {
    'published': Protocol('RGB, SSIM with a Gaussian window of 11 pixels, as in most tables'),
    'ssdm': Protocol(
        'S-SDM: RGB, SSIM with a uniform window of 7 pixels of values from -1 to 1', ssim=ssim_of_signed_values
    ),
    'spikezoo': Protocol('Spike-Zoo: luma, SSIM with a Gaussian window of 11 pixels', gray=True),
}
