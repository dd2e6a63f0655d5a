"""Writes spikes to a file of any format, a few steps at a time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from vrtspike.datasets.io.spike_arrays import VERSION_7_3
from vrtspike.datasets.spike_dat import bytes_per_step
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.errors import DataError
from vrtspike.runtime.atomic_write import atomic_write

#: Name of the array in files that name their arrays.
NAME = 'spk'
#: Bytes before the HDF5 content of a MATLAB file, for its header.
MATLAB_HEADER = 512
Shape = tuple[int, int, int]
Append = Callable[[np.ndarray], object]
"""Takes the next steps, (n, height, width) uint8 of 0 and 1."""


@contextmanager
def open_spike_writer(path: Path, shape: Shape, layout: SpikeLayout = USUAL_LAYOUT) -> Iterator[Append]:
    """Yield a function that takes the next spikes; when the block ends, the file is complete and gets its name.

    Args:
        path: A ``.dat``, ``.npy``, ``.npz``, ``.mat`` (version 7.3) or ``.h5`` file. Arrays are uint8 and, except in
            ``.npy``, compressed and called ``spk``.
        shape: (steps, height, width) of all spikes.
        layout: The order of bits and rows in a raw file.

    Raises:
        DataError: The suffix is another one, a raw file cannot have that size, or not all steps were given.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise DataError(f'{path} cannot be written: expected one of the suffixes {", ".join(WRITERS)}')
    written = 0
    with atomic_write(path) as aside, write(aside, shape, layout) as append:

        def count(spikes: np.ndarray) -> None:
            nonlocal written
            append(spikes)
            written += len(spikes)

        yield count
        if written != shape[0]:
            raise DataError(f'{path} was to have {shape[0]} steps, but {written} were given')


@contextmanager
def write_raw(path: Path, shape: Shape, layout: SpikeLayout) -> Iterator[Append]:
    """Write raw bits."""
    bytes_per_step(*shape[1:])
    stored = layout.raw()
    with open(path, 'wb') as file:
        rows = slice(None, None, -1 if stored['flipped'] else 1)
        yield lambda spikes: file.write(np.packbits(spikes[:, rows], bitorder=stored['bit_order']))


def npy_header(shape: Shape) -> bytes:
    """Return the header of an ``.npy`` file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {'descr': '|u1', 'fortran_order': False, 'shape': shape})
    return header.getvalue()


@contextmanager
def write_npy(path: Path, shape: Shape, layout: SpikeLayout) -> Iterator[Append]:
    """Write a NumPy array."""
    with open(path, 'wb') as file:
        file.write(npy_header(shape))
        yield lambda spikes: file.write(np.ascontiguousarray(spikes))


@contextmanager
def write_npz(path: Path, shape: Shape, layout: SpikeLayout) -> Iterator[Append]:
    """Write a compressed NumPy archive."""
    with (
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive,
        archive.open(f'{NAME}.npy', 'w', force_zip64=True) as file,
    ):
        file.write(npy_header(shape))
        yield lambda spikes: file.write(np.ascontiguousarray(spikes))


@contextmanager
def write_hdf5(path: Path, shape: Shape, layout: SpikeLayout) -> Iterator[Append]:
    """Write a compressed HDF5 data set (steps, height, width)."""
    with hdf5_file(path) as file:
        array = file.create_dataset(NAME, shape, 'u1', chunks=(1, *shape[1:]), compression='gzip', shuffle=False)
        start = 0

        def append(spikes: np.ndarray) -> None:
            nonlocal start
            array[start : start + len(spikes)] = spikes
            start += len(spikes)

        yield append


@contextmanager
def write_mat(path: Path, shape: Shape, layout: SpikeLayout) -> Iterator[Append]:
    """Write a MATLAB file of version 7.3, (steps, height, width) in MATLAB: HDF5 with the axes in reverse."""
    with hdf5_file(path, userblock_size=MATLAB_HEADER) as file:
        chunks = (*shape[:0:-1], 1)
        array = file.create_dataset(NAME, shape[::-1], 'u1', chunks=chunks, compression='gzip')
        array.attrs['MATLAB_class'] = np.bytes_('uint8')
        start = 0

        def append(spikes: np.ndarray) -> None:
            nonlocal start
            array[..., start : start + len(spikes)] = spikes.T
            start += len(spikes)

        yield append
    with open(path, 'r+b') as file:
        file.write(b'MATLAB 7.3 MAT-file, written by vrtspike'.ljust(124) + VERSION_7_3)


def hdf5_file(path: Path, **options: int) -> AbstractContextManager:
    """Return a new HDF5 file."""
    try:
        import h5py
    except ImportError as error:
        raise DataError(f'{path} would be an HDF5 file, which needs h5py: pip install h5py, or write .npz') from error
    return h5py.File(path, 'w', **options)


WRITERS = {
    '.dat': write_raw,
    '.npy': write_npy,
    '.npz': write_npz,
    '.mat': write_mat,
    '.h5': write_hdf5,
    '.hdf5': write_hdf5,
}
