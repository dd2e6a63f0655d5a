"""Every score of a restored frame, beside those of the blurred input and of plain reconstructions of the spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import mmcv
import numpy as np

from vrtspike.metrics.frames import luma
from vrtspike.metrics.psnr_ssim import ssim
from vrtspike.metrics.restoration import finite_psnr

Perceptual = Callable[[np.ndarray, np.ndarray], float]
"""From a uint8 RGB image and its reference to a distance."""


def frame_scores(
    restored: np.ndarray,
    blur: np.ndarray,
    sharp: np.ndarray,
    playbacks: dict[str, np.ndarray] | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, float]:
    """Return the scores of one frame against the sharp one; dB of equal images count as 100.

    ``psnr_db`` and ``ssim`` of all three channels, ``psnr_y_db`` and ``ssim_y`` of the Y of BT.601 (16 to 235, as the
    field's tables have it), and with ``perceptual`` also ``lpips``; the same of the blurred frame under ``blur_...``.
    For every playback ``<name>_psnr_db`` and ``<name>_ssim`` against the full-range luma.

    Args:
        restored: (H, W, 3) uint8 RGB, like ``blur`` and ``sharp``.
        playbacks: By name, (H, W) uint8 images of the spikes.
        perceptual: Distance of two RGB images.
    """
    scores = {}
    for prefix, image in (('', restored), ('blur_', blur)):
        scores[f'{prefix}psnr_db'] = finite_psnr(image, sharp)
        scores[f'{prefix}ssim'] = ssim(image, sharp)
        y, reference = video_luma(image), video_luma(sharp)
        scores[f'{prefix}psnr_y_db'] = finite_psnr(y, reference)
        scores[f'{prefix}ssim_y'] = ssim(y, reference)
        if perceptual is not None:
            scores[f'{prefix}lpips'] = perceptual(image, sharp)
    gray = luma(sharp[None])[0]
    for name, image in (playbacks or {}).items():
        scores |= {f'{name}_psnr_db': finite_psnr(image, gray), f'{name}_ssim': ssim(image, gray)}
    return scores


def video_luma(image: np.ndarray) -> np.ndarray:
    """Return the Y of BT.601 with its range of 16 to 235, (H, W) uint8, of an (H, W, 3) uint8 RGB image."""
    return mmcv.rgb2ycbcr(image, y_only=True)


def mean_scores(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every score over rows that all have it; other values are left out."""
    rows = list(rows)
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {name: float(np.mean([row[name] for row in rows])) for name in names}
