"""Spikes in files of any format: raw bits (``.dat``), or one array of 0 and 1 (``.npy``, ``.npz``, ``.mat``, ``.h5``).

An array is (steps, height, width), or (height, width, steps) if only that fits the sensor. It is checked and packed to
one bit per spike when it is first read.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vrtspike.datasets.io.spike_arrays import READERS, SpikeArray, open_spike_array, require_memory, require_plausible
from vrtspike.datasets.spike_dat import bytes_per_step, count_spike_steps, part_of, read_spike_dat
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.errors import DataError

RAW_SUFFIXES = ('.dat', '.bin', '.raw')
ARRAY_SUFFIXES = tuple(READERS)
SPIKE_SUFFIXES = RAW_SUFFIXES + ARRAY_SUFFIXES


class PackedArray(NamedTuple):
    """Spikes of an array file: ``bits`` is (steps, height, ceil(width / 8)) uint8, first column in the highest bit."""

    bits: np.ndarray
    width: int


def is_array_file(path: Path) -> bool:
    """Return whether a path names an array rather than raw bits; raise DataError for other suffixes."""
    suffix = Path(path).suffix.lower()
    if suffix not in SPIKE_SUFFIXES:
        raise DataError(f'{path} is not a spike file: expected one of the suffixes {", ".join(SPIKE_SUFFIXES)}')
    return suffix in ARRAY_SUFFIXES


def spike_array_size(path: Path, layout: SpikeLayout = USUAL_LAYOUT) -> tuple[int, int] | None:
    """Return the (height, width) of an array file that is not packed; None for raw bits."""
    if not is_array_file(path):
        return None
    array = packed_array(path, None, layout)
    return array.bits.shape[1], array.width


def count_steps(path: Path, height: int, width: int, layout: SpikeLayout = USUAL_LAYOUT) -> int:
    """Return the number of steps in a spike file; raise DataError if it does not fit a sensor of that size."""
    if is_array_file(path):
        return len(packed_array(path, (height, width), layout).bits)
    return count_spike_steps(path, height, width)


def read_spikes(path: Path, height: int, width: int, layout: SpikeLayout = USUAL_LAYOUT, **window: Any) -> np.ndarray:
    """Return spikes (steps, rows, columns) uint8 of 0 and 1.

    Args:
        path: A spike file.
        height: Rows of the sensor.
        width: Columns of the sensor.
        layout: How the file stores them.
        window: ``start``, ``steps``, ``rows`` and ``columns`` of
            :func:`~vrtspike.datasets.spike_dat.read_spike_dat`; by default everything is read.

    Raises:
        DataError: The file is missing or damaged, contains something else, or ends before the window does.
    """
    if not is_array_file(path):
        return read_spike_dat(path, height, width, **layout.raw(), **window)
    bits = packed_array(path, (height, width), layout).bits
    start, steps = window.get('start', 0), window.get('steps')
    start, end = part_of((start, len(bits) if steps is None else start + steps), len(bits), 'steps', path)
    top, bottom = part_of(window.get('rows'), height, 'rows', path)
    left, right = part_of(window.get('columns'), width, 'columns', path)
    part = bits[start:end, top:bottom, left // 8 : -(-right // 8)]
    return np.ascontiguousarray(np.unpackbits(part, axis=2)[..., left % 8 :][..., : right - left])


def packed_array(path: Path, size: tuple[int, int] | None, layout: SpikeLayout) -> PackedArray:
    """Return the spikes of an array file for a sensor of ``size``; None takes the size from the array."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror or error}): expected a spike file') from error
    return load_packed(Path(path), size, layout, status.st_mtime_ns, status.st_size)


# Overlapping clips read the files of a few neighbouring frames repeatedly.
@functools.lru_cache(maxsize=4)
def load_packed(
    path: Path, size: tuple[int, int] | None, layout: SpikeLayout, changed: int, length: int
) -> PackedArray:
    """Read, check and pack an array file of ``length`` bytes; ``changed`` is the time of its last change."""
    with open_spike_array(path, size, layout) as array:
        shape = (array.steps, array.height, -(-array.width // 8))
        wanted = int(np.prod(shape, dtype=object))
        require_plausible(path, length, wanted)
        require_memory(path, wanted)
        bits, start = np.empty(shape, np.uint8), 0
        for chunk in array.chunks():
            bits[start : start + len(chunk)] = np.packbits(chunk, axis=2)
            start += len(chunk)
        return PackedArray(bits, array.width)


@contextmanager
def open_spikes(path: Path, size: tuple[int, int], layout: SpikeLayout = USUAL_LAYOUT) -> Iterator[SpikeArray]:
    """Open any spike file of a sensor of ``size`` (height, width), to be read by steps in bounded memory.

    Raises:
        DataError: The file is missing or damaged, or does not fit the sensor.
    """
    if is_array_file(path):
        with open_spike_array(path, size, layout) as array:
            yield array
        return
    steps = count_spike_steps(path, *size)
    packed = np.memmap(path, np.uint8, 'r', shape=(steps, bytes_per_step(*size)))
    yield SpikeArray(path, packed, (0, 1), size, True, SpikeLayout(**layout.raw()))
