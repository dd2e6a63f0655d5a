"""Reads videos (any file that OpenCV decodes, or a folder of images) and writes them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vrtspike.datasets.io.images import image_size, read_images
from vrtspike.datasets.io.listing import files_in_time_order
from vrtspike.errors import DataError
from vrtspike.runtime.atomic_write import atomic_write

#: Four-character codes of the codecs of the videos that :func:`write_video` writes, by suffix.
VIDEO_CODES = {'.mp4': 'mp4v', '.mkv': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG'}
SHOWN = 5


def open_frames(path: str | os.PathLike) -> ImageFolder | VideoFile:
    """Return the frames in a folder of images or in a video file."""
    path = Path(path)
    if not path.exists():
        raise DataError(f'{path} does not exist: name a video file, or the folder of its frames')
    return ImageFolder(path) if path.is_dir() else VideoFile(path)


class ImageFolder:
    """The images of a folder, in time order.

    Args:
        path: The folder.

    Raises:
        DataError: It has no images, damaged images, or images of several sizes.
    """

    fps: float | None = None

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.files = files_in_time_order(self.path)
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
    """The frames of a video, decoded in order and turned upright.

    The whole video is decoded once at construction, because containers often state a wrong number or rate of frames.

    Args:
        path: The file.

    Raises:
        DataError: OpenCV cannot decode it.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        contents = video_contents(self.path)
        if contents is None:
            raise DataError(f'{path} is not a video that OpenCV can open: convert it, or give a folder of images')
        if not contents.frames:
            raise DataError(f'{path} has no frames that OpenCV can decode: convert it, or give a folder of images')
        if contents.missing:
            warnings.warn(
                f'the header of {path} states {contents.frames + contents.missing} frames, but {contents.frames} can '
                'be decoded: if the file was cut off, copy it again',
                stacklevel=3,
            )
        self.fps, self.size, self._length = contents.fps, contents.size, contents.frames
        self.names = [f'{i:06d}' for i in range(self._length)]
        self._rewind()

    def __len__(self) -> int:
        return self._length

    def _rewind(self) -> None:
        self._capture = cv2.VideoCapture(str(self.path))
        self._first, self._frames = 0, []

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames (T, H, W, 3) uint8 RGB.

        Seeking is exact in few formats, so skipped frames are decoded. The latest frames are cached; to read earlier
        ones, the video is decoded again from its beginning.
        """
        if start < self._first:
            self._rewind()
        while self._first + len(self._frames) < stop:
            if not self._capture.grab():
                raise DataError(f'{self.path} ends before frame {stop}, although it had {self._length}: copy it again')
            if self._first + len(self._frames) < start:
                self._first, self._frames = self._first + len(self._frames) + 1, []
                continue
            found, frame = self._capture.retrieve()
            if not found or frame.shape[:2] != self.size:
                what = f'has {frame.shape[0]} x {frame.shape[1]} pixels, not {self.size}' if found else 'is damaged'
                raise DataError(f'{self.path}: frame {self._first + len(self._frames)} {what}: convert the video again')
            self._frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        self._frames = self._frames[start - self._first :]
        self._first = start
        return np.stack(self._frames[: stop - start])


class VideoContents(NamedTuple):
    """Properties of a video, found by decoding it.

    Args:
        frames: Number of decoded frames.
        missing: How many more frames the header states, if the time stamps also end too early; otherwise 0.
        fps: Mean frames per second; None if neither the header nor the time stamps state it.
        size: (height, width) in pixels.
    """

    frames: int
    missing: int
    fps: float | None
    size: tuple[int, int]


def video_contents(path: Path) -> VideoContents | None:
    """Decode a video file and return its properties, or None if OpenCV cannot open it."""
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        return None
    stated_fps, stated_frames = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
    times_ms, size = [], (0, 0)
    while video.grab():
        times_ms.append(video.get(cv2.CAP_PROP_POS_MSEC))
        if len(times_ms) == 1:
            size = video.retrieve()[1].shape[:2]
    video.release()
    frames, seconds = len(times_ms), (max(times_ms) - min(times_ms)) / 1e3 if times_ms else 0.0
    # For a variable rate, OpenCV computes the number of frames from the duration and the highest rate.
    too_short = seconds * stated_fps < 0.9 * stated_frames - 1
    missing = int(stated_frames) - frames if too_short and frames < 0.9 * stated_frames else 0
    return VideoContents(frames, missing, mean_rate(stated_fps, frames, seconds), size)


def mean_rate(stated_fps: float, frames: int, seconds: float) -> float | None:
    """Return the rate of a video in frames per second: the stated one unless the time stamps contradict it.

    Args:
        stated_fps: From the header: 0 or absurd in some containers, the highest rate for videos of variable rate.
        frames: Number of frames.
        seconds: From the first to the last frame, by their time stamps; 0 if these are unknown.
    """
    if not seconds > 0:
        return stated_fps if 0 < stated_fps < float('inf') else None
    # Containers round time stamps to milliseconds.
    agrees = stated_fps > 0 and abs((frames - 1) / stated_fps - seconds) <= 0.02 * seconds + 0.002
    return stated_fps if agrees else (frames - 1) / seconds


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write a video atomically, and decode it once to check that it has all frames.

    Most of OpenCV's encoders drop the last row or column of frames with odd sides, so it is repeated first. OpenCV's
    encoder for .avi files with an integer rate keeps odd sides.

    Args:
        path: A file with a suffix of :data:`VIDEO_CODES`.
        frames: Frames of one size, (H, W, 3) uint8 RGB.
        fps: Frames per second.

    Raises:
        DataError: OpenCV cannot write such a video, or not all of it was written.
    """
    suffix = path.suffix.lower()
    writer, count, size = None, 0, (0, 0)
    with atomic_write(path) as aside:
        for frame in frames:
            odd = np.array(frame.shape[:2]) % 2
            keeps_odd = suffix == '.avi' and odd.any() and fps == round(fps)
            if odd.any() and not keeps_odd:
                frame = cv2.copyMakeBorder(frame, 0, int(odd[0]), 0, int(odd[1]), cv2.BORDER_REPLICATE)
            if writer is None:
                size, code = frame.shape[:2], cv2.VideoWriter_fourcc(*VIDEO_CODES[suffix])
                backend = cv2.CAP_OPENCV_MJPEG if keeps_odd else cv2.CAP_ANY
                writer = cv2.VideoWriter(str(aside), backend, code, fps, size[::-1])
                if not writer.isOpened():
                    raise DataError(
                        f'OpenCV cannot write {path} with {fps:g} frames per second: choose another rate or suffix '
                        f'({", ".join(VIDEO_CODES)}), or write images'
                    )
            if frame.shape[:2] != size:
                raise DataError(f'{path}: frame {count} has {frame.shape[:2]} pixels, but those before it have {size}')
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            count += 1
        if writer is None:
            raise DataError(f'{path}: there are no frames to write')
        writer.release()
        written = video_contents(aside)
        if written is None or (written.frames, written.size) != (count, size):
            found = f'{written.frames} of its {count} frames' if written else 'nothing that can be read'
            raise DataError(f'{path} was not written completely: the file has {found}. The disk may be full')


def first_few(texts: list[str]) -> str:
    """Return the first few of ``texts`` in a line, and how many more there are."""
    return ', '.join(texts[:SHOWN]) + (f' and {len(texts) - SHOWN} more' if len(texts) > SHOWN else '')
