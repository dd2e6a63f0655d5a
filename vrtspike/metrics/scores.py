"""All scores of a restored frame, of the blurred frame and of plain reconstructions of the spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import mmcv
import numpy as np

from vrtspike.metrics.frames import luma
from vrtspike.metrics.no_reference import NoReference
from vrtspike.metrics.protocols import PROTOCOLS, Protocol
from vrtspike.metrics.psnr_ssim import ssim
from vrtspike.metrics.restoration import finite_psnr

Perceptual = Callable[[np.ndarray, np.ndarray], float]
"""A function of a uint8 RGB image and its reference that returns their distance."""


def frame_scores(
    restored: np.ndarray,
    blur: np.ndarray,
    sharp: np.ndarray | None,
    playbacks: dict[str, np.ndarray] | None = None,
    perceptual: Perceptual | None = None,
    protocol: Protocol = PROTOCOLS['published'],
    no_reference: Mapping[str, NoReference] | None = None,
) -> dict[str, float]:
    """Return the scores of one frame, against the sharp one or alone.

    ``psnr_db`` and ``ssim`` are those of the ``protocol``, by default of all three channels. ``psnr_y_db`` and
    ``ssim_y`` use the Y channel (BT.601, 16 to 235, as in most published tables). ``lpips`` is the ``perceptual``
    distance, if it is given. Each score of ``no_reference`` has its own name. The scores of the blurred frame have the
    same names with the prefix ``blur_``. Every reconstruction without a network has ``<name>_psnr_db`` and
    ``<name>_ssim``; gray ones are compared with the full-range luma of the sharp frame. The PSNR of equal images counts
    as 100 dB.

    Args:
        restored: (H, W, 3) uint8 RGB.
        blur: The blurred frame, of the same shape and type.
        sharp: The target, of the same shape and type; None for real recordings without one.
        playbacks: Reconstructions without a network by name, (H, W) or (H, W, 3) uint8.
        perceptual: Distance between two RGB images.
        protocol: How images are compared.
        no_reference: Scores of one image by name, from :func:`vrtspike.metrics.no_reference.load_no_reference`.
    """
    images = {'': restored, 'blur_': blur}
    alone = {
        f'{prefix}{name}': score(image)
        for name, score in (no_reference or {}).items()
        for prefix, image in images.items()
    }
    if sharp is None:
        return alone
    scores, target = {}, protocol.image(sharp)
    for prefix, image in images.items():
        scored = protocol.image(image)
        scores[f'{prefix}psnr_db'] = finite_psnr(scored, target)
        scores[f'{prefix}ssim'] = protocol.ssim(scored, target)
        y, reference = video_luma(image), video_luma(sharp)
        scores[f'{prefix}psnr_y_db'] = finite_psnr(y, reference)
        scores[f'{prefix}ssim_y'] = ssim(y, reference)
        if perceptual is not None:
            scores[f'{prefix}lpips'] = perceptual(image, sharp)
    gray = luma(sharp[None])[0]
    for name, image in (playbacks or {}).items():
        image, reference = (image, gray) if image.ndim == 2 else (protocol.image(image), target)
        scores |= {f'{name}_psnr_db': finite_psnr(image, reference), f'{name}_ssim': protocol.ssim(image, reference)}
    return scores | alone


def video_luma(image: np.ndarray) -> np.ndarray:
    """Return the Y channel (BT.601, 16 to 235) of an (H, W, 3) uint8 RGB image as (H, W) uint8."""
    return mmcv.rgb2ycbcr(image, y_only=True)


def mean_scores(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every score over the rows. The floats of the first row are the scores; every row has them."""
    rows = list(rows)
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {name: float(np.mean([row[name] for row in rows])) for name in names}
