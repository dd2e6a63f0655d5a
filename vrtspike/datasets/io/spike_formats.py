"""Spikes in files of any format: raw bits (``.dat``), or one array of 0 and 1 (``.npy``, ``.npz``, ``.mat``, ``.h5``).

An array is (steps, height, width), or (height, width, steps) if only that fits the sensor. It is checked and packed to
one bit per spike when it is first read. Reading never runs code from a file, and a size in a header is checked against
the file size and the free memory before anything is allocated.
"""

from __future__ import annotations

import functools
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vrtspike.datasets.io.matlab import numeric_variables
from vrtspike.datasets.spike_dat import count_spike_steps, part_of, read_spike_dat
from vrtspike.errors import DataError
from vrtspike.runtime.device import free_memory

RAW_SUFFIXES = ('.dat', '.bin', '.raw')
ARRAY_SUFFIXES = ('.npy', '.npz', '.mat', '.h5', '.hdf5')
SPIKE_SUFFIXES = RAW_SUFFIXES + ARRAY_SUFFIXES
#: Usual names of spike arrays. They decide which array is read if a file has several with three dimensions.
ARRAY_NAMES = ('spk', 'spike', 'spikes')
#: Maximum compression ratio of deflate, which all these formats use.
MAX_COMPRESSION = 1032
#: Version and byte order in the header of MATLAB files that are HDF5.
VERSION_7_3 = b'\x00\x02IM'
#: Steps that are checked and packed at a time.
CHUNK = 256


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


def spike_array_size(path: Path) -> tuple[int, int] | None:
    """Return the (height, width) of an array file with axes (steps, height, width); None for raw bits."""
    if not is_array_file(path):
        return None
    array = packed_array(path, None)
    return array.bits.shape[1], array.width


def count_steps(path: Path, height: int, width: int) -> int:
    """Return the number of steps in a spike file; raise DataError if it does not fit a sensor of that size."""
    return (
        len(packed_array(path, (height, width)).bits) if is_array_file(path) else count_spike_steps(path, height, width)
    )


def read_spikes(path: Path, height: int, width: int, **window: Any) -> np.ndarray:
    """Return spikes (steps, rows, columns) uint8 of 0 and 1.

    Args:
        path: A spike file.
        height: Rows of the sensor.
        width: Columns of the sensor.
        window: ``start``, ``steps``, ``rows`` and ``columns`` of
            :func:`~vrtspike.datasets.spike_dat.read_spike_dat`; by default everything is read.

    Raises:
        DataError: The file is missing or damaged, contains something else, or ends before the window does.
    """
    if not is_array_file(path):
        return read_spike_dat(path, height, width, **window)
    bits = packed_array(path, (height, width)).bits
    start, steps = window.get('start', 0), window.get('steps')
    start, end = part_of((start, len(bits) if steps is None else start + steps), len(bits), 'steps', path)
    top, bottom = part_of(window.get('rows'), height, 'rows', path)
    left, right = part_of(window.get('columns'), width, 'columns', path)
    part = bits[start:end, top:bottom, left // 8 : -(-right // 8)]
    return np.ascontiguousarray(np.unpackbits(part, axis=2)[..., left % 8 :][..., : right - left])


def packed_array(path: Path, size: tuple[int, int] | None) -> PackedArray:
    """Return the spikes of an array file for a sensor of ``size``; None takes the size from the array."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror or error}): expected a spike file') from error
    return load_packed(Path(path), size, status.st_mtime_ns, status.st_size)


# Overlapping clips read the files of a few neighbouring frames repeatedly.
@functools.lru_cache(maxsize=4)
def load_packed(path: Path, size: tuple[int, int] | None, changed: int, length: int) -> PackedArray:
    """Read, check and pack an array file of ``length`` bytes; ``changed`` is the time of its last change."""
    try:
        array = READERS[path.suffix.lower()](path, length)
    except DataError:
        raise
    except Exception as error:  # the parsers raise errors of many types for damaged files
        raise DataError(f'{path} is damaged, or not a numeric {path.suffix} file ({error}): write it again') from error
    array = oriented(array, size, path)
    steps, height, width = array.shape
    require_plausible(path, length, steps * height * -(-width // 8))
    bits = np.empty((steps, height, -(-width // 8)), np.uint8)
    for start in range(0, steps, CHUNK):
        part = array[start : start + CHUNK]
        if ((part != 0) & (part != 1)).any():
            raise DataError(
                f'{path} has values from {part.min()} to {part.max()}, expected 0 and 1 only: store the spikes as '
                'array > 0'
            )
        bits[start : start + CHUNK] = np.packbits(part.astype(bool), axis=2)
    return PackedArray(bits, width)


def oriented(array: np.ndarray, size: tuple[int, int] | None, path: Path) -> np.ndarray:
    """Return an array as (steps, height, width); raise DataError if it does not fit the sensor."""
    if array.ndim != 3 or array.dtype.kind not in 'buif' or not array.size:
        raise DataError(
            f'{path} contains {array.dtype} {array.shape}, expected spikes (steps, height, width) of 0 and 1'
        )
    if size is None or array.shape[1:] == size:
        return array
    if array.shape[:2] == size:
        return np.moveaxis(array, 2, 0)
    raise DataError(
        f'{path} has spikes of the shape {array.shape}, expected (steps, {size[0]}, {size[1]}): correct the spike size'
    )


def require_plausible(path: Path, length: int, wanted: int) -> None:
    """Raise DataError if ``wanted`` bytes cannot be in a file of ``length`` bytes, or do not fit into free memory."""
    if wanted > MAX_COMPRESSION * length:
        raise DataError(f'{path} has {length} bytes, but its header says {wanted}: it is damaged; write it again')
    free = free_memory(torch.device('cpu'))
    if wanted > free:
        raise DataError(
            f'{path} needs {wanted / 2**30:.1f} GiB of memory, but {free / 2**30:.1f} GiB are free: cut it into '
            'shorter files, or convert it to .dat, which is read in parts'
        )


def read_npy(path: Path, length: int) -> np.ndarray:
    """Return the array of an ``.npy`` file, mapped into memory."""
    array = np.lib.format.open_memmap(path, mode='r')
    if array.offset + array.nbytes != length:
        raise DataError(f'{path} has {length} bytes, expected {array.offset + array.nbytes}: write it again')
    return array


def read_npz(path: Path, length: int) -> np.ndarray:
    """Return the spikes among the arrays of an ``.npz`` file."""
    with zipfile.ZipFile(path) as archive:
        shapes, sizes = {}, {}
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, dtype = npy_header(file)
                size = math.prod(shape) * dtype.itemsize + file.tell()
            if dtype.hasobject:  # pickled objects, such as strings, are not loaded
                continue
            name = member.filename.removesuffix('.npy')
            shapes[name], sizes[name] = shape, size
            if sizes[name] != member.file_size:
                raise DataError(f'{path}: {name} has {member.file_size} bytes, expected {sizes[name]}: write it again')
    name = choose_array(shapes, path)
    require_plausible(path, length, sizes[name])
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


def npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and the type that the header of an ``.npy`` stream states."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def read_mat(path: Path, length: int) -> np.ndarray:
    """Return the spikes among the variables of a MATLAB file."""
    data = memoryview(path.read_bytes())
    if bytes(data[124:128]) == VERSION_7_3:  # an HDF5 file, with axes in MATLAB's order
        return read_hdf5(path, length).T
    variables = numeric_variables(data)
    variable = variables[choose_array({name: each.shape for name, each in variables.items()}, path)]
    require_plausible(path, length, variable.size())
    return variable.read()


def read_hdf5(path: Path, length: int) -> np.ndarray:
    """Return the spikes among the arrays of an HDF5 file."""
    try:
        import h5py
    except ImportError as error:
        raise DataError(
            f'{path} is an HDF5 file, which needs h5py: pip install h5py, or save the spikes as .npy or, from MATLAB, '
            "with save(..., '-v7')"
        ) from error
    with h5py.File(path, 'r') as file:
        arrays = {array.name.lstrip('/'): array for array in hdf5_arrays(file)}
        array = arrays[choose_array({name: each.shape for name, each in arrays.items()}, path)]
        require_plausible(path, length, array.nbytes)
        return array[()]


def hdf5_arrays(file: Any) -> Iterator[Any]:
    """Yield the arrays that an HDF5 file stores itself: a file from a stranger could refer to any other file."""
    import h5py

    # Not File.visititems: in some damaged files it never ends (HDF5 2.0.0).
    groups, seen = [file], {file}
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            node = group[name]
            if node in seen:  # under another name
                continue
            seen.add(node)
            if isinstance(node, h5py.Group):
                groups.append(node)
            elif isinstance(node, h5py.Dataset) and node.shape and not node.external and not node.is_virtual:
                yield node


def choose_array(shapes: dict[str, tuple[int, ...]], path: Path) -> str:
    """Return the name of the only array with three dimensions, or of the only one that is named like spikes."""
    names = [name for name, shape in shapes.items() if len(shape) == 3]
    named = [name for name in names if name.rpartition('/')[2].lower() in ARRAY_NAMES]
    if len(names) == 1 or len(named) == 1:
        return (named or names)[0]
    found = ', '.join(f'{name} {shape}' for name, shape in shapes.items()) or 'nothing'
    raise DataError(
        f'{path} contains {found}, expected one array (steps, height, width), or one called {" or ".join(ARRAY_NAMES)}'
    )


READERS = {'.npy': read_npy, '.npz': read_npz, '.mat': read_mat, '.h5': read_hdf5, '.hdf5': read_hdf5}
