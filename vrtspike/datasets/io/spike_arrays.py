"""Arrays of spikes in files: ``.npy``, ``.npz``, ``.mat`` and ``.h5``, opened without reading them as a whole.

Reading never runs code from a file, and a size in a header is checked against the file size and the free memory before
anything is allocated.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vrtspike.datasets.io.matlab import numeric_variables
from vrtspike.datasets.spike_layout import AXES, USUAL_LAYOUT, SpikeLayout
from vrtspike.errors import DataError
from vrtspike.runtime.device import free_memory

#: Usual names of spike arrays. They decide which array is read if a file has several with three dimensions.
ARRAY_NAMES = ('spk', 'spike', 'spikes')
#: Maximum compression ratio of deflate, which all these formats use.
MAX_COMPRESSION = 1032
#: Version and byte order in the header of MATLAB files that are HDF5.
VERSION_7_3 = b'\x00\x02IM'
#: Memory for the steps that are read at a time.
CHUNK_BYTES = 2**24
#: Length of the block, along each axis, in which the axis of time is looked for, and the least pairs of spikes there.
PROBED, LEAST_PAIRS = 64, 32


class SpikeArray:
    """Spikes in an open file, read by steps.

    Args:
        path: The file, for messages.
        values: An array, or what is sliced like one.
        order: Positions of the axes of ``values`` in the order steps, height, width; two if every step is one row of
            packed bits.
        size: (height, width) in pixels.
        packed: Whether eight pixels share a byte.
        layout: The order of bits and rows.
    """

    def __init__(
        self,
        path: Path,
        values: Any,
        order: tuple[int, ...],
        size: tuple[int, int],
        packed: bool,
        layout: SpikeLayout,
    ) -> None:
        self.path, self.values, self.order, self.packed, self.layout = path, values, order, packed, layout
        self.steps, self.height, self.width = values.shape[order[0]], *size

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield all spikes in time order, a few steps (n, height, width) uint8 of 0 and 1 at a time."""
        count = max(CHUNK_BYTES // (self.height * self.width * self.values.dtype.itemsize), 1)
        return (self.read(start, start + count) for start in range(0, self.steps, count))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the spikes of some steps, (n, height, width) uint8; raise DataError for other values than 0 and 1."""
        index = tuple(slice(start, stop) if axis == self.order[0] else slice(None) for axis in range(len(self.order)))
        try:
            part = np.transpose(np.asarray(self.values[index]), self.order)
        except Exception as error:  # HDF5 finds damage when it reads
            raise DataError(f'{self.path} is damaged ({error}): write it again') from error
        if self.packed:
            bits = np.unpackbits(part, axis=-1, bitorder=self.layout.bit_order or 'big')
            width = self.width if part.ndim == 3 else self.height * self.width
            part = bits[..., :width].reshape(-1, self.height, self.width)
        elif ((part != 0) & (part != 1)).any():
            raise DataError(
                f'{self.path} has values from {part.min()} to {part.max()}, expected 0 and 1 only: store the spikes as '
                'array > 0; bits packed into bytes need the size of the sensor'
            )
        rows = slice(None, None, -1 if self.layout.flipped else 1)
        return np.ascontiguousarray(part[:, rows], np.uint8)


@contextmanager
def open_spike_array(
    path: Path, size: tuple[int, int] | None = None, layout: SpikeLayout = USUAL_LAYOUT
) -> Iterator[SpikeArray]:
    """Open the spikes of an array file.

    Args:
        path: The file.
        size: (height, width) of the sensor; None takes them from the array, which then is not packed.
        layout: Its ``axes`` decide where (steps, height, width) and (height, width, steps) are both possible.

    Raises:
        DataError: The file is missing or damaged, or has no such array.
    """
    try:
        length = os.path.getsize(path)
    except OSError as error:
        raise DataError(f'{path} cannot be read ({error.strerror or error}): expected a spike file') from error
    with ExitStack() as stack:
        try:
            values, is_reversed = stack.enter_context(READERS[path.suffix.lower()](path, length))
            array = arranged(path, values, is_reversed, size, layout)
        except DataError:
            raise
        except Exception as error:  # the parsers raise errors of many types for damaged files
            raise DataError(
                f'{path} is damaged, or not a numeric {path.suffix} file ({error}): write it again'
            ) from error
        yield array


def arranged(
    path: Path, values: Any, is_reversed: bool, size: tuple[int, int] | None, layout: SpikeLayout
) -> SpikeArray:
    """Return an array with its axes and packing told apart by its shape; raise DataError if it does not fit."""
    axes = tuple(range(len(values.shape)))[:: -1 if is_reversed else 1]
    shape = tuple(values.shape[axis] for axis in axes)
    dimensions = (3,) if size is None else (2, 3)  # packed bits may be one row per step
    if len(shape) not in dimensions or values.dtype.kind not in 'buif' or not math.prod(shape):
        raise DataError(f'{path} contains {values.dtype} {shape}, expected spikes (steps, height, width) of 0 and 1')
    orders = {'THW': axes, 'HWT': (axes[-1], *axes[:-1])}
    if len(shape) == 3:
        for name in AXES if layout.axes is None else (layout.axes,):
            height, width = (values.shape[axis] for axis in orders[name][1:])
            if size not in (None, (height, width)):
                continue
            both = size is None or shape[:2] == shape[1:]
            if name == 'THW' and layout.axes is None and both and fires_like_time(values, orders):
                raise DataError(
                    f'{path} has spikes of the shape {shape}, which may be (steps, height, width), but whose '
                    'neighbours along the last axis fire like one pixel in time: state which, --axes HWT or --axes THW '
                    '(axes: in config.yaml)'
                )
            return SpikeArray(path, values, orders[name], (height, width), False, layout)
    if size is not None and values.dtype == np.uint8:
        rows, packed_width = size[0], -(-size[1] // 8)
        if shape[1:] in ((rows, packed_width), (-(-rows * size[1] // 8),)):
            return SpikeArray(path, values, orders['THW'], size, True, layout)
    height, width = size or ('height', 'width')
    raise DataError(
        f'{path} has spikes of the shape {shape}, expected (steps, {height}, {width}): correct the spike size, or the '
        'axes'
    )


def fires_like_time(values: Any, orders: dict[str, tuple[int, ...]]) -> bool:
    """Return whether neighbours along the last axis are those in time, and those along the first are not.

    A pixel that has just fired rarely fires again at once. Neighbouring pixels do not know of each other: they fire
    together as often as chance and their similar brightness let them.
    """
    middle = tuple(slice((n - min(n, PROBED)) // 2, (n + min(n, PROBED)) // 2) for n in values.shape)
    block = np.asarray(values[middle]) != 0
    first, last = orders['THW'][0], orders['HWT'][0]
    pairs = {axis: np.moveaxis(block, axis, 0) for axis in (first, last)}
    along_first, along_last = (float((each[1:] & each[:-1]).mean()) for each in pairs.values())
    return along_first * block.size > LEAST_PAIRS and along_last < along_first / 2


def require_plausible(path: Path, length: int, wanted: int) -> None:
    """Raise DataError if ``wanted`` bytes cannot be in a file of ``length`` bytes."""
    if wanted > MAX_COMPRESSION * length:
        raise DataError(f'{path} has {length} bytes, but its header says {wanted}: it is damaged; write it again')


def require_memory(path: Path, wanted: int) -> None:
    """Raise DataError if ``wanted`` bytes do not fit into free memory."""
    free = free_memory(torch.device('cpu'))
    if wanted > free:
        raise DataError(
            f'{path} needs {wanted / 2**30:.1f} GiB of memory, but {free / 2**30:.1f} GiB are free: cut it into '
            'shorter files, or convert it to .dat, which is read in parts (python tools/convert_spikes.py)'
        )


@contextmanager
def open_npy(path: Path, length: int) -> Iterator[tuple[Any, bool]]:
    """Open the array of an ``.npy`` file, mapped into memory."""
    array = np.lib.format.open_memmap(path, mode='r')
    if array.offset + array.nbytes != length:
        raise DataError(f'{path} has {length} bytes, expected {array.offset + array.nbytes}: write it again')
    yield array, False


@contextmanager
def open_npz(path: Path, length: int) -> Iterator[tuple[Any, bool]]:
    """Open the spikes among the arrays of an ``.npz`` file, unpacked into a temporary file."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryFile() as unpacked:
        shapes, members = {}, {}
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, fortran, dtype = npy_header(file)
                size = math.prod(shape) * dtype.itemsize + file.tell()
            if dtype.hasobject:  # pickled objects, such as strings, are not loaded
                continue
            name = member.filename.removesuffix('.npy')
            shapes[name], members[name] = shape, (member, dtype, 'F' if fortran else 'C')
            if size != member.file_size:
                raise DataError(f'{path}: {name} has {member.file_size} bytes, expected {size}: write it again')
        name = choose_array(shapes, path)
        member, dtype, order = members[name]
        require_plausible(path, length, member.file_size)
        with archive.open(member) as file:
            npy_header(file)
            shutil.copyfileobj(file, unpacked, 2**20)
        unpacked.flush()
        yield np.memmap(unpacked, dtype, 'r', shape=shapes[name], order=order), False


def npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return the shape, whether it is in Fortran's order, and the type, as the header of an ``.npy`` stream states."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


@contextmanager
def open_mat(path: Path, length: int) -> Iterator[tuple[Any, bool]]:
    """Open the spikes among the variables of a MATLAB file; those of version 5 to 7.2 are read, up to 2 GiB."""
    with open(path, 'rb') as file:
        version = file.read(128)[124:]
    if version == VERSION_7_3:  # an HDF5 file, with axes in MATLAB's order
        with open_hdf5(path, length) as (array, _):
            yield array, True
        return
    variables = numeric_variables(memoryview(path.read_bytes()))
    variable = variables[choose_array({name: each.shape for name, each in variables.items()}, path)]
    require_plausible(path, length, variable.size())
    require_memory(path, variable.size())
    yield variable.read(), False


@contextmanager
def open_hdf5(path: Path, length: int) -> Iterator[tuple[Any, bool]]:
    """Open the spikes among the arrays of an HDF5 file."""
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
        yield array, False


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
    """Return the name of the only array with three dimensions, or else two, or of the one that is named like spikes."""
    names = [name for name, shape in shapes.items() if len(shape) == 3]
    names = names or [name for name, shape in shapes.items() if len(shape) == 2]
    named = [name for name in names if name.rpartition('/')[2].lower() in ARRAY_NAMES]
    if len(names) == 1 or len(named) == 1:
        return (named or names)[0]
    found = ', '.join(f'{name} {shape}' for name, shape in shapes.items()) or 'nothing'
    raise DataError(
        f'{path} contains {found}, expected one array (steps, height, width), or one called {" or ".join(ARRAY_NAMES)}'
    )


READERS = {'.npy': open_npy, '.npz': open_npz, '.mat': open_mat, '.h5': open_hdf5, '.hdf5': open_hdf5}
