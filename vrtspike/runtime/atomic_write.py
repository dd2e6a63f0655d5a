"""Atomic writes: a file is written under a temporary name and renamed, so that no reader sees a partial file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. When the block ends without an error, rename that file to ``path``.

    After an error the temporary file is removed and ``path`` is unchanged. The temporary name has the same suffix,
    because image writers choose their format by it.

    Raises:
        OSError: With ``path`` as its file name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.partial{path.suffix}')
    try:
        yield temporary
        with open(temporary, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # it would hide the error that is being raised
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8 atomically. File names in it that are not UTF-8 are written as escapes."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')


def write_json(path: str | os.PathLike, value: Any, **options: Any) -> None:
    """Write a value as indented JSON atomically; the options are those of :func:`json.dumps`."""
    write_text(path, json.dumps(value, indent=2, **options) + '\n')


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB image atomically."""
    import cv2  # imported here, because tools that write no images use this module too

    encoded, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert encoded
    with atomic_write(path) as temporary:
        temporary.write_bytes(data.tobytes())
