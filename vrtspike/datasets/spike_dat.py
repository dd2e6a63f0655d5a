"""The headerless `.dat` spike files of SpikeCV, Spike-Zoo, SpkDeblurNet, S-SDM and S-VRT.

Every step is ``height * width`` bits in row-major order, least significant bit first, its rows stored bottom-up. Some
tools write the most significant bit first, or rows top-down. The file stores neither this nor the sensor size nor the
threshold. Callers pass them, and the file length is checked against the size.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import numpy as np

from vrtspike.errors import DataError

#: First bytes of array formats, with a description and the suffix of each for messages.
OTHER_FORMATS = {
    b'\x93NUMPY': ('a NumPy array', '.npy'),
    b'PK\x03\x04': ('a ZIP archive', '.npz'),
    b'MATLAB ': ('a MATLAB file', '.mat'),
    b'\x89HDF\r\n\x1a\n': ('an HDF5 file', '.h5'),
}


def read_spike_dat(
    path: str | os.PathLike,
    height: int,
    width: int,
    *,
    start: int = 0,
    steps: int | None = None,
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
    expected_steps: int | None = None,
    bit_order: str = 'little',
    flipped: bool = True,
) -> np.ndarray:
    """Read the spikes of ``steps`` steps; only the bytes that are needed are read.

    Args:
        path: A `.dat` file.
        height: Rows of the sensor.
        width: Columns of the sensor.
        start: First step to read.
        steps: Number of steps to read; None reads to the end.
        rows: (top, bottom), bottom excluded, to read; None reads all.
        columns: (left, right), right excluded, to read; None reads all.
        expected_steps: Number of steps that the file must have; None accepts any.
        bit_order: Which bit of a byte is its first pixel: the least significant (``'little'``) or the most (``'big'``).
        flipped: Whether rows are stored bottom-up.

    Returns:
        (steps, rows, columns) uint8 of 0 and 1 in time order, the first row on top.

    Raises:
        DataError: The file is missing or damaged, has another length, or ends before the window does.
    """
    total = count_spike_steps(path, height, width)
    if expected_steps is not None and total != expected_steps:
        raise DataError(
            f'{path} has {total} steps of {height} x {width} spikes, expected {expected_steps}: '
            'correct the sensor size or the number of steps, or write the file again'
        )
    start, end = part_of((start, total if steps is None else start + steps), total, 'steps', path)
    top, bottom = part_of(rows, height, 'rows', path)
    left, right = part_of(columns, width, 'columns', path)
    steps, size = end - start, bytes_per_step(height, width)
    try:
        packed = np.memmap(path, np.uint8, 'r', offset=start * size, shape=(steps, size))
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error}') from error
    # If rows are stored bottom-up, the bottom row of the part comes first.
    first, last = (height - bottom, height - top) if flipped else (top, bottom)
    upright = slice(None, None, -1 if flipped else 1)
    if width % 8 == 0:
        lines = packed.reshape(steps, height, width // 8)[:, first:last, left // 8 : -(-right // 8)]
        # Flipping the packed bytes rather than the bits moves an eighth of the memory.
        packed_rows = np.take(lines, np.arange(last - first)[upright], axis=1)
        bits = np.unpackbits(packed_rows, bitorder=bit_order)
        return np.ascontiguousarray(bits.reshape(steps, last - first, -1)[..., left % 8 :][..., : right - left])
    span = packed[:, first * width // 8 : -(-last * width // 8)]
    bits = np.unpackbits(span, axis=1, bitorder=bit_order)[:, first * width % 8 :][:, : (last - first) * width]
    return np.ascontiguousarray(bits.reshape(steps, last - first, width)[:, upright, left:right])


def part_of(part: tuple[int, int] | None, length: int, name: str, path: str | os.PathLike) -> tuple[int, int]:
    """Return (start, end) of a part of ``length`` steps, rows or columns; None is all of them."""
    start, end = (0, length) if part is None else part
    if not 0 <= start < end <= length:
        raise DataError(f'{path} has {length} {name}, which do not include {name} {start} to {end}')
    return start, end


def write_spike_dat(path: str | os.PathLike, spikes: np.ndarray) -> None:
    """Write ``spikes`` (steps, H, W), all 0 or 1, to ``path`` atomically.

    Raises:
        DataError: The array has another shape, other values or an unsupported size, or the disk is full.
    """
    spikes = np.asarray(spikes)
    if spikes.ndim != 3 or spikes.shape[0] == 0:
        raise DataError(f'{path}: spikes have the shape {spikes.shape}, expected (steps, height, width)')
    if ((spikes != 0) & (spikes != 1)).any():
        raise DataError(
            f'{path}: spikes have values from {spikes.min()} to {spikes.max()}, expected 0 and 1 only: binarise them'
        )
    bytes_per_step(*spikes.shape[1:])
    path = Path(path)
    aside = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
    try:
        np.packbits(spikes[:, ::-1].astype(bool), bitorder='little').tofile(aside)
        os.replace(aside, path)
    except OSError as error:
        raise DataError(f'{path} could not be written: {error.strerror or error}') from error
    finally:
        aside.unlink(missing_ok=True)


def count_spike_steps(path: str | os.PathLike, height: int, width: int) -> int:
    """Return the number of steps in ``path`` from its length; raise DataError if the length is wrong."""
    bytes_per_step(height, width)
    if not os.path.isfile(path):
        raise DataError(f'{path} is missing: a spike file of {height} x {width} pixels was expected there')
    require_raw(path)
    return steps_in_bytes(path, os.path.getsize(path), height, width)


def require_raw(path: str | os.PathLike) -> None:
    """Raise a DataError if the first bytes of a file are those of another format."""
    try:
        with open(path, 'rb') as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror or error}') from error
    for signature, (what, suffix) in OTHER_FORMATS.items():
        if start.startswith(signature):
            raise DataError(
                f'{path} is {what}, expected raw spike bits: rename it to end in {suffix}, or write its array with '
                'vrtspike.datasets.spike_dat.write_spike_dat'
            )


def steps_in_bytes(path: str | os.PathLike, length: int, height: int, width: int) -> int:
    """Return how many whole steps a file of ``length`` bytes has; raise DataError if bytes are left over."""
    size = bytes_per_step(height, width)
    steps, rest = divmod(length, size)
    if steps == 0 or rest:
        raise DataError(
            f'{path} has {length} bytes, expected a multiple of {size} ({height} x {width} pixels a step), '
            f'but {rest} bytes are left after {steps} whole steps: '
            'correct the sensor size, or copy the truncated file again'
        )
    return steps


def bytes_per_step(height: int, width: int) -> int:
    """Return the bytes of one step; sizes whose bits do not fill whole bytes are undefined in the format."""
    if height < 1 or width < 1 or height * width % 8:
        raise DataError(
            f'a spike file of {height} x {width} pixels is undefined: height * width must be a positive multiple '
            'of 8; crop or pad the spikes, or keep them as an array in .npy'
        )
    return height * width // 8
