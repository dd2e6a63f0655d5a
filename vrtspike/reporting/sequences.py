"""What a data set holds, made visible: frames beside their spikes, as sheets of rows and as moving pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vrtspike.datasets.clips import read_frames
from vrtspike.datasets.color import encode_srgb
from vrtspike.datasets.io.images import write_image
from vrtspike.datasets.io.packed_spikes import packed_spikes
from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.representations.intensity import TFI
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.errors import ConfigError, DataError
from vrtspike.reporting.clips import clip_strip
from vrtspike.runtime.atomic_write import written_aside

#: Larger panels are halved until they are no wider, so that a sheet of many fits a screen.
PANEL_WIDTH = 400
SHEET_SUFFIXES, MOVIE_SUFFIXES = ('.png', '.jpg'), ('.mp4', '.gif')
#: The instant, or its neighbours, at which intervals are looked at: the middle of the exposure.
_INTERVALS = TFI(bins=1)


def frame_panels(sequence: Sequence, position: int) -> list[tuple[str, np.ndarray]]:
    """Return captions and uint8 images of one frame: blurred, TFP, TFI, spike raster, sharp, as far as there are any.

    The raster shows the spikes of the sensor's middle row, time running down.
    """
    frames = read_frames(sequence, range(position, position + 1))
    panels = [('blurred', frames['blur'][0])] if 'blur' in frames else []
    if sequence.spike is not None:
        spikes = packed_spikes(sequence, range(position, position + 1))[0]
        height, width = next(iter(frames.values())).shape[1:3] if frames else spikes.shape[1:]
        pictures = {
            'TFP': to_gray(tfp(spikes, sequence.threshold)),
            'TFI': to_gray(_INTERVALS(spikes)[0] * sequence.threshold),
            f'row {spikes.shape[1] // 2}, {len(spikes)} steps': spikes[:, spikes.shape[1] // 2] * np.uint8(255),
        }
        panels += [
            (caption, cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST))
            for caption, picture in pictures.items()
        ]
    if 'sharp' in frames:
        panels.append(('sharp', frames['sharp'][0]))
    return [(caption, shrunk(image)) for caption, image in panels]


def to_gray(intensity: np.ndarray) -> np.ndarray:
    """Return linear intensity in [0, 1] as an sRGB-encoded uint8 image."""
    return np.rint(encode_srgb(intensity) * 255).astype(np.uint8)


def shrunk(image: np.ndarray) -> np.ndarray:
    """Return an image halved until it is no wider than a panel."""
    while image.shape[1] > PANEL_WIDTH:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return image


def rows(sequence: Sequence, positions: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield one strip (H, W, 3) uint8 for each frame, its number in front of the first caption."""
    for position in positions:
        (caption, image), *rest = frame_panels(sequence, position)
        yield clip_strip([(f'{sequence.stems[position]} {caption}', image), *rest])


def write_pictures(path: Path, strips: Iterable[np.ndarray], fps: float = 8.0) -> None:
    """Write strips of one size below each other as a sheet, or one after the other as a moving picture.

    Args:
        path: The suffix decides: .png and .jpg for a sheet, .mp4 and .gif for a moving picture.
        strips: (H, W, 3) uint8 RGB.
        fps: Pictures per second of a moving one.

    Raises:
        ConfigError: Another suffix.
        DataError: It cannot be written.
    """
    require_suffix(path)
    with written_aside(path) as aside:
        if path.suffix in SHEET_SUFFIXES:
            write_image(aside, np.concatenate(list(strips)))
        elif path.suffix == '.gif':
            first, *others = (Image.fromarray(strip) for strip in strips)
            first.save(aside, save_all=True, append_images=others, duration=round(1000 / fps), loop=0)
        else:
            write_mp4(aside, strips, fps)


def require_suffix(path: Path) -> None:
    """Refuse a file whose name does not tell a kind of picture."""
    known = SHEET_SUFFIXES + MOVIE_SUFFIXES
    if path.suffix not in known:
        raise ConfigError(f'{path} has no suffix of a picture: expected one of {", ".join(known)}')


def write_mp4(path: Path, strips: Iterable[np.ndarray], fps: float) -> None:
    """Write a moving picture; sides are cut to even numbers, which the codec needs."""
    writer = None
    for strip in strips:
        height, width = (length // 2 * 2 for length in strip.shape[:2])
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps, (width, height))
            if not writer.isOpened():
                raise DataError(f'{path} could not be written: this OpenCV has no mp4v encoder; write a .gif instead')
        writer.write(cv2.cvtColor(strip[:height, :width], cv2.COLOR_RGB2BGR))
    writer.release()
