"""PSNR and SSIM of 8-bit images over all pixels; no border is cropped."""

from __future__ import annotations

from typing import Any

import numpy as np

from vrtspike.errors import DataError

#: Side of SSIM's Gaussian window (sigma 1.5, cut at 3.5 sigma) in pixels.
SSIM_WINDOW = 11
#: Side of the uniform window of S-SDM's SSIM in pixels.
UNIFORM_WINDOW = 7


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels and channels; ``inf`` for equal images.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        reference: The same shape and type.

    Raises:
        DataError: The images differ in shape or are not uint8.
    """
    _check_pair(image, reference)
    error = np.mean(np.square(image.astype(np.float64) - reference.astype(np.float64)))
    return float('inf') if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Return the structural similarity with the published Gaussian window (sigma 1.5), averaged over the channels.

    `Wang et al. 2004 <https://doi.org/10.1109/TIP.2003.819861>`_, computed by scikit-image.

    Args:
        image: (H, W, 3) or (H, W) uint8, at least 11 pixels a side.
        reference: The same shape and type.

    Raises:
        DataError: The images differ in shape, are not uint8 or are smaller than the window.
    """
    _check_pair(image, reference, SSIM_WINDOW)
    gaussian = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return _similarity(image, reference, data_range=255, **gaussian)


def ssim_of_signed_values(image: np.ndarray, reference: np.ndarray) -> float:
    """Return SSIM as S-SDM computes it: of values scaled to [-1, 1], in uniform windows of 7 x 7 pixels.

    Covariances are those of samples (divided by 48). The result differs from :func:`ssim`: SSIM compares the means of
    windows as ratios, and here the mean of mid-gray is zero. Images and errors are those of :func:`ssim`, but 7 pixels
    a side are enough.
    """
    _check_pair(image, reference, UNIFORM_WINDOW)
    signed = [each.astype(np.float64) / 127.5 - 1 for each in (image, reference)]
    return _similarity(*signed, data_range=2, win_size=UNIFORM_WINDOW)


def _similarity(image: np.ndarray, reference: np.ndarray, **options: Any) -> float:
    """Return scikit-image's structural similarity of images (H, W) or (H, W, 3)."""
    from skimage.metrics import structural_similarity  # slow to import, with scipy

    return float(structural_similarity(image, reference, channel_axis=2 if image.ndim == 3 else None, **options))


def _check_pair(image: np.ndarray, reference: np.ndarray, window: int = 1) -> None:
    for found in (image, reference):
        if found.dtype != np.uint8:
            raise DataError(f'image quality is measured on 8-bit images (uint8), found {found.dtype}')
    if image.shape != reference.shape:
        raise DataError(f'an image of shape {image.shape} cannot be compared with one of shape {reference.shape}')
    height, width = image.shape[:2]
    if min(height, width) < window:
        raise DataError(f'SSIM needs at least {window}x{window} pixels, found {width}x{height}; use larger crops')
