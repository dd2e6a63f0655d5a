"""Atomic writes: a file is written under a temporary name and renamed, so that nobody ever reads half of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def written_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name beside ``path``, and rename the file to ``path`` when the block ends without an error.

    After an error the temporary file is removed and ``path`` is unchanged. The temporary name has the same suffix,
    because image writers choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f'.{path.stem}.{os.getpid()}.partial{path.suffix}')
    try:
        yield aside
        with open(aside, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_png(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB image atomically."""
    import cv2  # imported here, because tools that write no images import this module too

    encoded, data = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert encoded
    with written_aside(path) as aside:
        aside.write_bytes(data.tobytes())
