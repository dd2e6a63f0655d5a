"""Pictures of a data set: its frames beside their spikes, as a contact sheet or as a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vrtspike.datasets.clips import read_frames
from vrtspike.datasets.color import encode_light_uint8
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.io.packed_spikes import packed_spikes
from vrtspike.datasets.io.video import write_video
from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.representations.intensity import TFI
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.errors import ConfigError
from vrtspike.reporting.clip_strip import clip_strip
from vrtspike.runtime.atomic_write import atomic_write

#: Wider panels are halved until they fit, so that a sheet with many of them fits a screen.
MAX_PANEL_WIDTH = 400
SHEET_SUFFIXES, VIDEO_SUFFIXES = ('.png', '.jpg'), ('.mp4', '.gif')
#: Intensity from the spike intervals at the middle of the exposure.
_INTERVALS = TFI(bins=1)


def frame_panels(sequence: Sequence, position: int) -> list[tuple[str, np.ndarray]]:
    """Return captions and uint8 images of one frame: blurred, TFP, TFI, spike raster, sharp.

    Images that the sequence does not have are left out. The raster shows the spikes of the sensor's middle row, with
    time running down.
    """
    frames = read_frames(sequence, range(position, position + 1))
    panels = [('blurred', frames['blur'][0])] if 'blur' in frames else []
    if sequence.spike is not None:
        spikes = packed_spikes(sequence, range(position, position + 1))[0]
        size = next(iter(frames.values())).shape[1:3] if frames else spikes.shape[1:]
        panels += _spike_panels(spikes, sequence.threshold, sequence.light, size)
    if 'sharp' in frames:
        panels.append(('sharp', frames['sharp'][0]))
    return [(caption, _shrunk(image)) for caption, image in panels]


def _spike_panels(
    spikes: np.ndarray, threshold: float, light: str, size: tuple[int, int]
) -> list[tuple[str, np.ndarray]]:
    """Return TFP, TFI and raster of (steps, H, W) spikes as images of ``size`` = (H, W) pixels."""
    height, width = size
    middle = spikes.shape[1] // 2
    pictures = {
        'TFP': encode_light_uint8(tfp(spikes, threshold), light),
        'TFI': encode_light_uint8(_INTERVALS(spikes)[0] * threshold, light),
        f'row {middle}, {len(spikes)} steps': spikes[:, middle] * np.uint8(255),
    }
    return [
        (caption, cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST))
        for caption, picture in pictures.items()
    ]


def _shrunk(image: np.ndarray) -> np.ndarray:
    """Return an image halved until it is at most ``MAX_PANEL_WIDTH`` wide."""
    while image.shape[1] > MAX_PANEL_WIDTH:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return image


def frame_strips(sequence: Sequence, positions: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield one strip (H, W, 3) uint8 for each frame; its first caption begins with the frame's name."""
    for position in positions:
        (caption, image), *rest = frame_panels(sequence, position)
        yield clip_strip([(f'{sequence.stems[position]} {caption}', image), *rest])


def same_width(strips: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return strips padded on the right to the width of the widest, so that they fit on one sheet."""
    strips = list(strips)
    width = max(strip.shape[1] for strip in strips)
    return [np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0))) for strip in strips]


def write_strips(path: Path, strips: Iterable[np.ndarray], fps: float = 8.0) -> None:
    """Write strips one below the other as a contact sheet, or one after the other as a video.

    Args:
        path: The suffix decides: .png and .jpg for a sheet, .mp4 and .gif for a video.
        strips: (H, W, 3) uint8 RGB; of one width on a sheet, of one size in a video.
        fps: Frames per second of a video.

    Raises:
        ConfigError: The suffix is another one.
        DataError: The video cannot be written.
    """
    require_suffix(path)
    if path.suffix == '.mp4':
        write_video(path, strips, fps)
        return
    with atomic_write(path) as aside:
        if path.suffix in SHEET_SUFFIXES:
            write_image(aside, np.concatenate(list(strips)))
        else:
            first, *others = (Image.fromarray(strip) for strip in strips)
            first.save(aside, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)


def require_suffix(path: Path) -> None:
    """Raise a ConfigError unless the suffix is one that :func:`write_strips` can write."""
    known = SHEET_SUFFIXES + VIDEO_SUFFIXES
    if path.suffix not in known:
        raise ConfigError(f'{path} has no suffix of a picture: expected one of {", ".join(known)}')
