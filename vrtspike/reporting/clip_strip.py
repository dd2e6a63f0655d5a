"""A clip at a glance: images side by side, each under its caption."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

#: A strip is at most this wide, in pixels, unless its panels become narrower than ``MIN_PANEL_WIDTH``.
MAX_STRIP_WIDTH = 2048
#: The narrowest panel on which a caption such as 'restored 27.45 dB' can be read, in pixels.
MIN_PANEL_WIDTH = 192
GAP = 8
CAPTION_HEIGHT = 28
CAPTION_SCALE = 0.55
BACKGROUND, INK = 24, (235, 235, 235)


def clip_strip(panels: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Return images side by side, each under its caption, as one (H', W', 3) uint8 RGB image.

    Small images are enlarged by a whole factor. Pixels are repeated, not interpolated, so that the picture shows
    exactly what was computed.

    Args:
        panels: Captions and uint8 images of one size, (H, W, 3) RGB or (H, W) gray.
    """
    factor = enlargement(panels[0][1].shape[1], len(panels))
    drawn = [_panel(caption, image, factor) for caption, image in panels]
    gap = np.full((drawn[0].shape[0], GAP, 3), BACKGROUND, np.uint8)
    return np.hstack([part for panel in drawn for part in (gap, panel)] + [gap])


def enlargement(width: int, panels: int) -> int:
    """Return the whole factor by which images are enlarged in a strip.

    It is the largest one that keeps the strip within ``MAX_STRIP_WIDTH``, or the smallest one that makes every panel
    ``MIN_PANEL_WIDTH`` wide, whichever is larger.

    Args:
        width: Width of one image in pixels.
        panels: Number of images in the strip.
    """
    max_panel_width = (MAX_STRIP_WIDTH - GAP) // panels - GAP
    return max(max_panel_width // width, -(-MIN_PANEL_WIDTH // width), 1)


def _panel(caption: str, image: np.ndarray, factor: int) -> np.ndarray:
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    bar = np.full((CAPTION_HEIGHT, image.shape[1], 3), BACKGROUND, np.uint8)
    cv2.putText(bar, caption, (2, 19), cv2.FONT_HERSHEY_SIMPLEX, CAPTION_SCALE, INK, 1, cv2.LINE_AA)
    foot = np.full((GAP, image.shape[1], 3), BACKGROUND, np.uint8)
    return np.vstack([bar, image, foot])
