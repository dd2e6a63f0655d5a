"""Writes restored frames to a folder of PNGs, and makes a video from such a folder. A killed run can be resumed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.io.video import VIDEO_CODES, write_video
from vrtspike.errors import DataError
from vrtspike.runtime.atomic_write import write_png, write_text

DEFAULT_FPS = 25.0
#: Suffixes of file names. Versions such as .v2 and numbers such as .5 do not count.
FILE_SUFFIX = re.compile(r'\.(?!v\d)\w*[a-z]\w*', re.IGNORECASE)


def record_inputs(folder: Path, inputs: msgspec.Struct, name: str) -> None:
    """Record what the contents of a folder are made from, or compare with the record of an earlier run.

    Args:
        folder: The output folder; it need not exist.
        inputs: Everything that the output depends on.
        name: File name of the record.

    Raises:
        DataError: The folder contains other files, or its contents were made from other inputs.
    """
    path = folder / name
    made_from = json.loads(msgspec.json.encode(inputs))
    if path.is_file():
        found = json.loads(path.read_text(encoding='utf-8'))
        other = [key for key in {**made_from, **found} if found.get(key) != made_from.get(key)]
        if other:
            changes = '; '.join(f'{key}: {found.get(key)} there, {made_from.get(key)} now' for key in other)
            raise DataError(f'{folder} was made from other inputs ({changes}): delete it, or choose another --out')
        return
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f'{folder} contains other files: choose another --out, or an empty folder')
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


def frame_folder(out: Path) -> Path:
    """Return the folder for restored frames: ``out`` itself, or a hidden folder beside a video.

    Raises:
        DataError: ``out`` exists as a file, or it has the suffix of another kind of file.
    """
    if out.is_file():
        raise DataError(f'{out} exists: delete it, or choose another --out')
    if out.suffix.lower() in VIDEO_CODES:
        return out.with_name(f'.{out.name}.frames')
    if FILE_SUFFIX.fullmatch(out.suffix) and not out.is_dir():
        raise DataError(
            f'--out {out} has the suffix {out.suffix}: expected a video ({", ".join(VIDEO_CODES)}) or a folder. A '
            'folder whose name ends like a file must already exist'
        )
    return out


def video_of_frames(path: Path, folder: FrameFolder, fps: float) -> None:
    """Encode the frames of a folder as a video. Remove the folder when the video is complete.

    Raises:
        DataError: The video cannot be written; the folder is unchanged.
    """
    try:
        write_video(path, (read_image(folder.path(name)) for name in folder.names), fps)
    except (DataError, OSError) as error:
        raise DataError(
            f'{error}. The restored frames are in {folder.folder}: run the same command again to write the video from '
            'them, if necessary with another --fps'
        ) from error
    shutil.rmtree(folder.folder)
