"""Frames of a data set as files: 8-bit RGB images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from vrtspike.errors import DataError


def read_images(paths: list[Path], local: Callable[[Path], Path] = Path) -> np.ndarray:
    """Return images of one size as (T, H, W, 3) uint8 RGB."""
    images = [read_image(path, local) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f'{path} has {image.shape[0]} x {image.shape[1]} pixels, {paths[0].name} beside it '
                f'{images[0].shape[0]} x {images[0].shape[1]}: the frames of a sequence must have one size'
            )
    return np.stack(images)


def read_image(path: Path, local: Callable[[Path], Path] = Path) -> np.ndarray:
    """Return an image as (H, W, 3) uint8 RGB."""
    for candidate in dict.fromkeys((local(path), path)):  # if the copy is damaged, read the original
        image = cv2.imread(str(candidate), cv2.IMREAD_COLOR) if candidate.is_file() else None
        if image is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    raise DataError(f'{path} is missing or damaged, expected an 8-bit RGB image: write it again')


def write_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB in the format of the path's suffix."""
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise DataError(f'{path} could not be written: check the free space and the rights of its folder')
