"""Frames as image files: their size, and their pixels as 8-bit RGB.

All commands read frames with these functions, so that a check, a training and a restoration agree. Images may have 8
or 16 bits per channel, in grey or colour. They are turned upright by their EXIF orientation. All others are errors.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from vrtspike.datasets.io.stored import place_in_lmdb, read_file
from vrtspike.errors import DataError

#: A frame of 16K video. A header that claims more is refused before memory is allocated.
MAX_PIXELS = 15360 * 8640
#: Largest value of 12-bit data. A 16-bit image without a larger value was not scaled to 16 bits.
UNSCALED = 4095
EXIF_ORIENTATION = 0x0112
JPEG_START = b'\xff\xd8'
PNG_START = b'\x89PNG\r\n\x1a\n'


class ImageHeader(NamedTuple):
    """Contents of an image header: (height, width) of the upright image, and the EXIF orientation, 1 to 8."""

    size: tuple[int, int]
    orientation: int


def image_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of an upright image from its header."""
    try:
        if place_in_lmdb(path):
            return read_header(path, io.BytesIO(read_file(path))).size
        with open(path, 'rb') as file:
            return read_header(path, file).size
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror or error}') from error


def read_header(path: Path, file: BinaryIO) -> ImageHeader:
    """Return the header of the image in ``file``; raise DataError if it shows that the image cannot be read."""
    try:
        with Image.open(file) as image:
            (width, height), kind, pages = image.size, image.format, getattr(image, 'n_frames', 1)
            # If a PNG has no EXIF chunk before its pixels, Pillow decodes the whole file to look for one after them.
            has_exif = kind != 'PNG' or 'exif' in image.info
            orientation = image.getexif().get(EXIF_ORIENTATION, 1) if has_exif else 1
    except Exception as error:  # Pillow raises errors of many types for damaged files
        raise DataError(damaged(path)) from error
    if width * height > MAX_PIXELS:
        raise DataError(
            f'{path} has {height} x {width} pixels in its header, expected at most {MAX_PIXELS} pixels: it is damaged, '
            'or too large for a frame'
        )
    if pages > 1 and kind != 'MPO':  # the first image of an MPO is the photograph, the others are its previews
        raise DataError(f'{path} contains {pages} images, expected one: write one file per frame')
    if orientation not in range(1, 9):
        orientation = 1  # as viewers treat values that the standard does not define
    if kind == 'TIFF' and orientation != 1:
        raise DataError(f'{path} is a TIFF with the orientation {orientation}, which is not supported: save it upright')
    return ImageHeader((width, height) if orientation > 4 else (height, width), orientation)


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
    """Return an image as (H, W, 3) uint8 RGB, upright.

    Args:
        path: The file.
        local: Maps the path to that of a copy to read; a damaged copy is ignored.

    Raises:
        DataError: The image is missing, damaged or cut off, has several pages or transparent pixels, has neither 8 nor
            16 bits per channel, or has 16-bit values that are not scaled.
    """
    copy = local(path)
    if copy != path:
        try:
            return decode_image(copy)
        except DataError:
            pass  # the original may be whole
    return decode_image(path)


def decode_image(path: Path) -> np.ndarray:
    """Return the image in a file; see :func:`read_image`."""
    try:
        data = read_file(Path(path))
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror or error}): expected an image') from error
    header = read_header(path, io.BytesIO(data))
    for start, has_end in ((JPEG_START, has_jpeg_end), (PNG_START, has_png_end)):
        if data.startswith(start) and not has_end(data):
            raise DataError(damaged(path))
    try:
        # Decoded from memory, a JPEG that is cut off is an error; from a file, OpenCV fills the rest with gray.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(damaged(path)) from error
    if image is None:
        raise DataError(damaged(path))
    image = upright(eight_bit(image, path), header.orientation)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] == 4:
        if image[..., 3].min() < 255:
            raise DataError(f'{path} has transparent pixels, expected an opaque image: save it without transparency')
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGB)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def has_jpeg_end(data: bytes) -> bool:
    """Return whether a JPEG has an end marker after the start of its first scan.

    Decoders read the zeros of a partly copied file as pixels, so they do not notice that the end is missing. The
    segments before the scan are skipped, because an embedded preview has its own end marker. Scans contain none.
    """
    offset = len(JPEG_START)
    while data[offset : offset + 1] == b'\xff' and data[offset + 1 : offset + 2] != b'\xda':
        is_padding = data[offset + 1 : offset + 2] == b'\xff'
        offset += 1 if is_padding else 2 + int.from_bytes(data[offset + 2 : offset + 4], 'big')
    return data.find(b'\xff\xd9', offset) >= 0


def has_png_end(data: bytes) -> bool:
    """Return whether all chunks of a PNG, up to the last one, lie within the file.

    OpenCV allocates the length that a chunk states, up to 4 GiB, before it reads the chunk.
    """
    offset = len(PNG_START)
    while data[offset + 4 : offset + 8] not in (b'IEND', b''):
        offset += 12 + int.from_bytes(data[offset : offset + 4], 'big')
    return data[offset : offset + 8] == b'\0\0\0\0IEND'


def damaged(path: Path) -> str:
    """Return the error message about an image that cannot be decoded."""
    return f'{path} is damaged, or not an image of 8 or 16 bits per channel: write it again'


def eight_bit(image: np.ndarray, path: Path) -> np.ndarray:
    """Return an image with its 16-bit values scaled to 8 bits; raise DataError for other types and unscaled values."""
    if image.dtype == np.uint8:
        return image
    if image.dtype != np.uint16:
        raise DataError(f'{path} has {image.dtype} values, expected 8 or 16 bits per channel: convert it to 8 bits')
    colours = image if image.ndim == 2 else image[..., :3]
    brightest = int(colours.max())
    if 0 < brightest <= UNSCALED and (colours % 257).any():  # dark frames that were 8-bit are multiples of 257
        raise DataError(
            f'{path} has 16 bits per channel, but no value above {brightest}: its {brightest.bit_length()}-bit '
            'values were probably not scaled. Scale white to 65535, or convert it to 8 bits'
        )
    return ((image.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image turned and mirrored as its EXIF orientation says."""
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB in the format of the path's suffix."""
    encoded, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert encoded
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise DataError(f'{path} could not be written: {error.strerror or error}') from error
