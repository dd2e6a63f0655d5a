"""Where restored frames go: a folder of PNGs, or a video made from one, so that a killed run can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vrtspike.errors import DataError
from vrtspike.runtime.atomic_write import write_png, written_aside

VIDEO_CODES = {'.mp4': 'mp4v', '.mkv': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG'}
DEFAULT_FPS = 25.0


def claim_folder(folder: Path, made_from: dict[str, Any], name: str) -> bool:
    """Note in a folder's file ``name`` what its contents are made from; return whether it was there already.

    Raises:
        DataError: The folder holds something else, or what was made otherwise.
    """
    note = folder / name
    made_from = json.loads(json.dumps(made_from))
    if note.is_file():
        found = json.loads(note.read_text(encoding='utf-8'))
        other = [key for key in {**made_from, **found} if found.get(key) != made_from.get(key)]
        if other:
            changes = '; '.join(f'{key}: {found.get(key)} there, {made_from.get(key)} now' for key in other)
            raise DataError(f'{folder} holds what was made otherwise ({changes}): delete it, or choose another --out')
        return True
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f'{folder} holds other files: choose another --out, or an empty folder')
    with written_aside(note) as aside:
        aside.write_text(json.dumps(made_from, indent=2) + '\n', encoding='utf-8')
    return False


class FrameFolder:
    """A folder that is filled with PNGs in order.

    Args:
        folder: Where they go.
        names: The file names without suffix, in order.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = names

    def done(self) -> int:
        """Return how many frames are there, counted up to the first that is missing."""
        missing = (i for i, name in enumerate(self.names) if not self.path(name).is_file())
        return next(missing, len(self.names))

    def path(self, name: str) -> Path:
        """Return the file of a frame."""
        return self.folder / f'{name}.png'

    def write(self, first: int, images: Sequence[np.ndarray]) -> None:
        """Write images (H, W, 3) uint8 RGB as the frames from ``first`` on."""
        for name, image in zip(self.names[first:], images, strict=False):
            write_png(self.path(name), image)


def video_code(path: Path) -> str | None:
    """Return the code of the codec for a video file's name, or None where it names a folder."""
    return VIDEO_CODES.get(path.suffix.lower())


def write_video(path: Path, folder: FrameFolder, fps: float | None) -> None:
    """Encode the frames of a folder as a video, aside first, and remove the folder.

    Raises:
        DataError: OpenCV was built without the codec.
    """
    height, width = cv2.imread(str(folder.path(folder.names[0]))).shape[:2]
    with written_aside(path) as aside:
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
