"""Frames and spikes of one clip in files: a video or a folder of images, and spike files of any length.

Frames are read on demand, so a clip may be larger than the memory. Everything is checked at construction.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vrtspike.datasets.clips import read_images
from vrtspike.datasets.sources.folders import read_config
from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat
from vrtspike.errors import DataError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
SHOWN = 5
#: Number of folders that are searched for a config.yaml, upwards from <root>/<split>/<sequence>/spike.
CONFIG_FOLDERS = 4


class ImageFolder:
    """The images of a folder, in the order of their names.

    Args:
        path: The folder.

    Raises:
        DataError: It has no images, damaged images, or images of several sizes.
    """

    fps: float | None = None

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.files = sorted(file for file in self.path.iterdir() if is_image(file))
        if not self.files:
            raise DataError(f'{path} holds no images ({", ".join(IMAGE_SUFFIXES)}): name the folder of the frames')
        sizes = {file: image_size(file) for file in self.files}
        self.size = sizes[self.files[0]]
        different = [f'{file.name} has {size[0]} x {size[1]}' for file, size in sizes.items() if size != self.size]
        if different:
            raise DataError(
                f'the frames of {path} must have one size: {self.files[0].name} has {self.size[0]} x {self.size[1]} '
                f'pixels, {first_few(different)}'
            )
        self.names = [file.stem for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames (T, H, W, 3) uint8 RGB."""
        return read_images(self.files[start:stop])


class VideoFile:
    """The frames of a video, decoded in order. They are counted, because containers often state a wrong number.

    Args:
        path: The file.

    Raises:
        DataError: OpenCV cannot decode it.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._rewind()
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        self._length = sum(1 for _ in self._grabbed())
        if not self._length:
            raise DataError(f'{path} holds no frames that OpenCV can decode: convert it, or give a folder of images')
        self._rewind()
        self.size = self.read(0, 1).shape[1:3]
        self.names = [f'{i:06d}' for i in range(self._length)]

    def __len__(self) -> int:
        return self._length

    def _rewind(self) -> None:
        self._capture = cv2.VideoCapture(str(self.path))
        if not self._capture.isOpened():
            raise DataError(f'{self.path} is no video that OpenCV can open: convert it, or give a folder of images')
        self._first, self._frames = 0, []

    def _grabbed(self) -> Iterator[None]:
        while self._capture.grab():
            yield

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames (T, H, W, 3) uint8 RGB. The latest ones are cached; others are decoded again up to there."""
        if start < self._first:
            self._rewind()
        while self._first + len(self._frames) < stop:
            if not self._capture.grab():
                raise DataError(f'{self.path} ends before frame {stop}, although it had {self._length}: copy it again')
            if self._first + len(self._frames) < start:
                self._first, self._frames = self._first + len(self._frames) + 1, []
            else:
                self._frames.append(cv2.cvtColor(self._capture.retrieve()[1], cv2.COLOR_BGR2RGB))
        self._frames = self._frames[start - self._first :]
        self._first = start
        return np.stack(self._frames[: stop - start])


class SpikeFiles:
    """The spikes of a clip: one ``.dat`` file per frame in a folder, or one file for the whole clip.

    Args:
        path: The folder, or the file; its steps are divided equally among the frames.
        frames: Number of frames.
        names: Names of the frames, in order; None if they have none, as in a video.
        size: (Hs, Ws) of the spikes; None takes ``spike_h`` and ``spike_w`` from the nearest ``config.yaml``.
        threshold: Firing threshold; None takes it from ``config.yaml``.

    Raises:
        DataError: Files are missing or differ in length, or the size or the threshold is unknown.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        frames: int,
        names: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        threshold: float | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f'{path} does not exist: name the folder of the .dat files, or one .dat file')
        known = nearest_spike_config(self.path)
        self.size = size or (known.get('spike_h'), known.get('spike_w'))
        self.threshold = known.get('threshold') if threshold is None else threshold
        if None in self.size or not self.threshold:
            raise DataError(
                f'the size and the threshold of the spikes in {path} are not known, since spike files hold neither and '
                'there is no config.yaml near them with spike_h, spike_w and threshold: give --spike-size HEIGHT WIDTH '
                'and --threshold'
            )
        self.files = self._files_in_folder(frames, names) if self.path.is_dir() else [self.path] * frames
        steps = {file: count_spike_steps(file, *self.size) for file in dict.fromkeys(self.files)}
        self.steps = next(iter(steps.values()))
        different = [f'{file.name} has {n}' for file, n in steps.items() if n != self.steps]
        if different:
            raise DataError(
                f'the spike files of {path} must have one number of steps: {self.files[0].name} has {self.steps}, '
                f'{first_few(different)}'
            )
        if not self.path.is_dir():
            self.steps, rest = divmod(self.steps, frames)
            if rest or not self.steps:
                raise DataError(
                    f'{path} holds {self.steps * frames + rest} steps, which {frames} frames cannot share equally: cut '
                    'the spikes to the exposure of the video, or check the spike size'
                )

    def _files_in_folder(self, frames: int, names: Sequence[str] | None) -> list[Path]:
        files = sorted(self.path.glob('*.dat'))
        by_name = {file.stem: file for file in files}
        missing = [name for name in names or () if name not in by_name]
        if missing:
            raise DataError(
                f'{self.path} has no spikes for {len(missing)} of {frames} frames: {first_few(missing)}; expected a '
                'file NAME.dat for each frame NAME'
            )
        if names is not None:
            return [by_name[name] for name in names]
        if len(files) != frames:
            raise DataError(
                f'{self.path} holds {len(files)} spike files, but there are {frames} frames: expected one each'
            )
        return files

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return spikes (T, steps, Hs, Ws) uint8."""
        if self.path.is_dir():
            return np.stack([read_spike_dat(file, *self.size) for file in self.files[start:stop]])
        spikes = read_spike_dat(self.path, *self.size, start=start * self.steps, steps=(stop - start) * self.steps)
        return spikes.reshape(stop - start, self.steps, *self.size)


def open_frames(path: str | os.PathLike) -> ImageFolder | VideoFile:
    """Return the frames in a folder of images or in a video file."""
    path = Path(path)
    if not path.exists():
        raise DataError(f'{path} does not exist: name a video file, or the folder of the blurred frames')
    return ImageFolder(path) if path.is_dir() else VideoFile(path)


def nearest_spike_config(path: Path) -> dict:
    """Return the nearest ``config.yaml`` with a spike size, in a folder or one above it; empty if there is none."""
    path = path.resolve()
    for folder in [path, *path.parents][:CONFIG_FOLDERS]:
        known = read_config(folder / 'config.yaml')
        if 'spike_h' in known:
            return known
    return {}


def is_image(path: Path) -> bool:
    """Return whether a file is a visible image."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an image from its header."""
    try:
        with Image.open(path) as image:
            return image.size[::-1]
    except OSError as error:
        raise DataError(f'{path} is damaged or no image: write it again, or remove it') from error


def first_few(texts: list[str]) -> str:
    """Return the first few of ``texts`` in a line, and how many more there are."""
    return ', '.join(texts[:SHOWN]) + (f' and {len(texts) - SHOWN} more' if len(texts) > SHOWN else '')
