"""Output of restored frames: a folder of PNGs, or a video made from such a folder. A killed run can resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np

from vrtspike.errors import DataError
from vrtspike.runtime.atomic_write import atomic_write, write_png, write_text

VIDEO_CODES = {'.mp4': 'mp4v', '.mkv': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG'}
DEFAULT_FPS = 25.0


def record_inputs(folder: Path, inputs: msgspec.Struct, name: str) -> None:
    """Record in a file of the folder what its contents are made from, or check the record of an earlier run.

    Args:
        folder: The folder of an output; it need not exist.
        inputs: Everything that the output depends on.
        name: Name of the file.

    Raises:
        DataError: The folder has other files, or its contents were made from something else.
    """
    path = folder / name
    made_from = json.loads(msgspec.json.encode(inputs))
    if path.is_file():
        found = json.loads(path.read_text(encoding='utf-8'))
        other = [key for key in {**made_from, **found} if found.get(key) != made_from.get(key)]
        if other:
            changes = '; '.join(f'{key}: {found.get(key)} there, {made_from.get(key)} now' for key in other)
            raise DataError(f'{folder} holds what was made otherwise ({changes}): delete it, or choose another --out')
        return
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f'{folder} holds other files: choose another --out, or an empty folder')
    write_text(path, json.dumps(made_from, indent=2) + '\n')


class FrameFolder:
    """A folder of PNGs that are written in order.

    Args:
        folder: The folder.
        names: File names without suffix, in order.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names

    def done(self) -> int:
        """Return how many frames exist before the first missing one."""
        missing = (i for i, name in enumerate(self.names) if not self.path(name).is_file())
        return next(missing, len(self.names))

    def path(self, name: str) -> Path:
        """Return the path of a frame."""
        return self.folder / f'{name}.png'

    def write(self, first: int, images: Sequence[np.ndarray]) -> None:
        """Write images (H, W, 3) uint8 RGB as frames ``first``, ``first + 1`` and so on."""
        for name, image in zip(self.names[first:], images, strict=False):
            write_png(self.path(name), image)


def video_code(path: Path) -> str | None:
    """Return the four-character code of the codec for a video file, or None if ``path`` is a folder."""
    return VIDEO_CODES.get(path.suffix.lower())


def write_video(path: Path, folder: FrameFolder, fps: float | None) -> None:
    """Encode the frames of a folder as a video, atomically, and remove the folder.

    Raises:
        DataError: OpenCV was built without the codec.
    """
    height, width = cv2.imread(str(folder.path(folder.names[0]))).shape[:2]
    with atomic_write(path) as aside:
        code = cv2.VideoWriter_fourcc(*video_code(path))
        writer = cv2.VideoWriter(str(aside), code, fps or DEFAULT_FPS, (width, height))
        if not writer.isOpened():
            raise DataError(
                f'OpenCV cannot write {path.suffix} videos here; the frames are in {folder.folder}: choose a folder or '
                '.avi as --out'
            )
        for name in folder.names:
            writer.write(cv2.imread(str(folder.path(name))))
        writer.release()
    shutil.rmtree(folder.folder)
