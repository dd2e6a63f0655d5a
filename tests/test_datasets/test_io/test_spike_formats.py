import io
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import scipy.io

from vrtspike.datasets import ClipDataset, ProcessedClips, SpikeCVRecording, read_spike_dat, write_spike_dat
from vrtspike.datasets.io import spike_arrays
from vrtspike.datasets.io.spike_formats import count_steps, read_spikes, spike_array_size
from vrtspike.errors import DataError
from vrtspike.testing.data_sets import write_recordings

STEPS, HEIGHT, WIDTH = 300, 6, 11  # its bits fill no whole bytes: there is no .dat of this size
SPIKES = np.random.default_rng(0).integers(0, 2, (STEPS, HEIGHT, WIDTH), dtype=np.uint8)


def save(path, array=SPIKES, name='spk', **others):
    """Write an array in the format of the suffix."""
    if path.suffix == '.npy':
        np.save(path, array)
    elif path.suffix == '.npz':
        np.savez_compressed(path, **{name: array}, **others)
    elif path.suffix == '.mat':
        scipy.io.savemat(path, {name: array, **others}, do_compression=True)
    else:
        h5py = pytest.importorskip('h5py')
        with h5py.File(path, 'w') as file:
            for key, value in {name: array, **others}.items():
                file[key] = value
    return path


SUFFIXES = ('.npy', '.npz', '.mat', '.h5')


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('dtype', [bool, np.uint8, np.int64, np.float32])
def test_arrays_are_read_like_raw_files(tmp_path, suffix, dtype):
    path = save(tmp_path / f'x{suffix}', SPIKES.astype(dtype))
    assert spike_array_size(path) == (HEIGHT, WIDTH)
    assert count_steps(path, HEIGHT, WIDTH) == STEPS
    assert read_spikes(path, HEIGHT, WIDTH).dtype == np.uint8
    np.testing.assert_array_equal(read_spikes(path, HEIGHT, WIDTH), SPIKES)
    part = read_spikes(path, HEIGHT, WIDTH, start=250, steps=20, rows=(1, 4), columns=(7, 10))
    np.testing.assert_array_equal(part, SPIKES[250:270, 1:4, 7:10])


@pytest.mark.parametrize('suffix', ['.npy', '.npz', '.mat'])
def test_steps_may_be_the_last_axis(tmp_path, suffix):
    path = save(tmp_path / f'x{suffix}', np.moveaxis(SPIKES, 0, 2))
    np.testing.assert_array_equal(read_spikes(path, HEIGHT, WIDTH), SPIKES)


@pytest.mark.parametrize('suffix', ['.npz', '.mat', '.h5'])
def test_the_only_array_of_three_dimensions_is_taken_or_the_one_called_spikes(tmp_path, suffix):
    path = save(tmp_path / f'a{suffix}', name='anything', labels=np.arange(4.0))
    np.testing.assert_array_equal(read_spikes(path, HEIGHT, WIDTH), SPIKES)
    path = save(tmp_path / f'b{suffix}', name='Spikes', other=SPIKES[:2])
    np.testing.assert_array_equal(read_spikes(path, HEIGHT, WIDTH), SPIKES)
    with pytest.raises(DataError, match=r'contains .*one \(300, 6, 11\).*expected one array'):
        count_steps(save(tmp_path / f'c{suffix}', name='one', other=SPIKES), HEIGHT, WIDTH)


def test_a_file_that_is_written_again_is_read_again(tmp_path):
    path = save(tmp_path / 'x.npy')
    assert count_steps(path, HEIGHT, WIDTH) == STEPS
    assert count_steps(save(path, SPIKES[:9]), HEIGHT, WIDTH) == 9


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('position', [0, STEPS - 1])
def test_other_values_are_found_in_any_step(tmp_path, suffix, position):
    array = SPIKES.copy()
    array[position, -1, -1] = 255
    with pytest.raises(DataError, match='has values from 0 to 255, expected 0 and 1 only'):
        count_steps(save(tmp_path / f'x{suffix}', array), HEIGHT, WIDTH)


@pytest.mark.parametrize('value', [0.5, np.nan, -1.0])
def test_other_numbers_are_refused(tmp_path, value):
    array = SPIKES.astype(np.float64)
    array[7, 3, 2] = value
    with pytest.raises(DataError, match='expected 0 and 1 only'):
        count_steps(save(tmp_path / 'x.npy', array), HEIGHT, WIDTH)


@pytest.mark.parametrize('suffix', ['.npy', '.npz', '.mat'])
def test_another_size_and_another_shape_are_refused(tmp_path, suffix):
    path = save(tmp_path / f'x{suffix}')
    with pytest.raises(DataError, match=r'shape \(300, 6, 11\), expected \(steps, 6, 12\)'):
        read_spikes(path, 6, 12)
    with pytest.raises(DataError, match=r'expected (spikes|one array) \(steps, height, width\)'):
        spike_array_size(save(tmp_path / f'flat{suffix}', SPIKES[0]))
    with pytest.raises(DataError, match='has 300 steps, which do not include steps 299 to 301'):
        read_spikes(path, HEIGHT, WIDTH, start=299, steps=2)


def test_missing_and_unknown_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r'x\.npy cannot be read \(No such file'):
        count_steps(tmp_path / 'x.npy', 8, 8)
    (tmp_path / 'x.mp4').write_bytes(bytes(64))
    with pytest.raises(DataError, match=r'x\.mp4 is not a spike file: expected one of the suffixes \.dat'):
        count_steps(tmp_path / 'x.mp4', 8, 8)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_pickled_objects_are_not_loaded(tmp_path):
    payload = Payload(tmp_path / 'made')
    objects = np.array([[[payload]]], dtype=object)
    np.save(tmp_path / 'x.npy', objects)
    np.savez(tmp_path / 'x.npz', spk=objects)
    (tmp_path / 'y.npy').write_bytes(pickle.dumps(payload))
    for name in ('x.npy', 'x.npz', 'y.npy'):
        with pytest.raises(DataError, match=r'is damaged, or not|contains nothing, expected one array'):
            spike_array_size(tmp_path / name)
    np.savez(tmp_path / 'x.npz', texts=objects, spk=SPIKES)
    np.testing.assert_array_equal(read_spikes(tmp_path / 'x.npz', HEIGHT, WIDTH), SPIKES)
    assert not (tmp_path / 'made').exists()


def npy_bytes(shape, content=b''):
    """Return an .npy file whose header states ``shape``."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {'descr': '|u1', 'fortran_order': False, 'shape': shape})
    return file.getvalue() + content


ABSURD = (10**6, 10**4, 10**4)


@pytest.mark.parametrize('shape', [ABSURD, (1, 8, 8), (3, 8, 8)])
def test_the_size_in_a_header_must_be_that_of_the_file(tmp_path, shape):
    content = npy_bytes(shape, bytes(2 * 8 * 8))
    (tmp_path / 'x.npy').write_bytes(content)
    with zipfile.ZipFile(tmp_path / 'x.npz', 'w') as archive:
        archive.writestr('spk.npy', content)
    for name in ('x.npy', 'x.npz'):
        with pytest.raises(DataError, match='write it again'):
            spike_array_size(tmp_path / name)


def test_a_small_file_is_not_unpacked_into_more_than_the_free_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(spike_arrays, 'free_memory', lambda device: 2**20)
    zeros = np.zeros((4096, 64, 64), np.uint8)
    for suffix in ('.npz', '.mat'):
        with pytest.raises(DataError, match=r'needs 0\.0 GiB of memory, but 0\.0 GiB are free'):
            spike_array_size(save(tmp_path / f'x{suffix}', zeros))


@pytest.mark.parametrize('suffix', ['.npy', '.npz', '.mat'])
@pytest.mark.parametrize('fraction', [0.0, 0.1, 0.5, 0.95])
def test_a_file_that_is_cut_off_is_named(tmp_path, suffix, fraction):
    path = save(tmp_path / f'x{suffix}')
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(DataError, match=rf'x\{suffix} '):
        spike_array_size(path)


@pytest.mark.parametrize(
    ('suffix', 'what'), [('.npy', 'a NumPy array'), ('.npz', 'a ZIP archive'), ('.mat', 'a MATLAB file')]
)
def test_an_array_under_the_name_of_raw_bits_is_refused_as_what_it_is(tmp_path, suffix, what):
    path = save(tmp_path / f'x{suffix}').rename(tmp_path / 'x.dat')
    for read in (count_steps, read_spikes, read_spike_dat):
        with pytest.raises(DataError, match=rf'x\.dat is {what}.*rename it to end in \{suffix}'):
            read(path, 8, 1)


def test_hdf5_needs_its_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    for name, content in {'x.h5': b'', 'x.mat': b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM'}.items():
        (tmp_path / name).write_bytes(content + bytes(64))
        with pytest.raises(DataError, match=r'is an HDF5 file, which needs h5py: pip install h5py'):
            spike_array_size(tmp_path / name)


def test_matlab_files_of_version_7_3_have_the_axes_in_reverse(tmp_path):
    h5py = pytest.importorskip('h5py')
    path = tmp_path / 'x.mat'
    with h5py.File(path, 'w', userblock_size=512) as file:
        file['spk'] = SPIKES.T
    with open(path, 'r+b') as file:
        file.write(b'MATLAB 7.3 MAT-file'.ljust(124) + b'\x00\x02IM')
    np.testing.assert_array_equal(read_spikes(path, HEIGHT, WIDTH), SPIKES)


def test_arrays_in_other_files_are_not_read(tmp_path):
    h5py = pytest.importorskip('h5py')
    (tmp_path / 'secret').write_bytes(SPIKES.tobytes())
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file.create_dataset('spk', SPIKES.shape, 'u1', external=[(str(tmp_path / 'secret'), 0, SPIKES.size)])
        file['link'] = h5py.ExternalLink(str(tmp_path / 'y.h5'), 'spk')
    with pytest.raises(DataError, match='contains nothing, expected one array'):
        spike_array_size(tmp_path / 'x.h5')


def test_hdf5_groups_may_contain_each_other(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file['camera/data'] = SPIKES
        file['camera/same'] = file['camera/data']
        file['camera/up'] = file['loop'] = file['/']
    np.testing.assert_array_equal(read_spikes(tmp_path / 'x.h5', HEIGHT, WIDTH), SPIKES)


def test_a_small_hdf5_file_of_an_absurd_array_is_refused(tmp_path):
    h5py = pytest.importorskip('h5py')
    with h5py.File(tmp_path / 'x.h5', 'w') as file:
        file.create_dataset('spk', ABSURD, 'u1', chunks=(1, 100, 100))
    with pytest.raises(DataError, match='but its header says 100000000000000'):
        spike_array_size(tmp_path / 'x.h5')


def test_data_sets_read_arrays(tiny_copy, tmp_path):
    expected = np.asarray(ClipDataset(ProcessedClips(tiny_copy), 'val', clip_len=2)[0]['spikes'])
    for path in tiny_copy.glob('*/*/spike/*.dat'):
        np.savez(path.with_suffix('.npz'), spk=read_spike_dat(path, 16, 16))
        path.unlink()
    found = ClipDataset(ProcessedClips(tiny_copy), 'val', clip_len=2)[0]
    np.testing.assert_array_equal(found['spikes'], expected)
    root = write_recordings(tmp_path / 'recordings', frames=5)
    source = SpikeCVRecording(root, 40, val=['two'])
    expected = np.asarray(ClipDataset(source, 'val')[0]['spikes'])
    spikes = read_spike_dat(root / 'two' / 'spikes.dat', 32, 32)
    np.save(root / 'two.npy', spikes)
    (root / 'two' / 'spikes.dat').unlink()
    np.testing.assert_array_equal(ClipDataset(source, 'val')[0]['spikes'], expected)


def test_a_raw_file_is_read_as_before(tmp_path):
    write_spike_dat(tmp_path / 'x.dat', SPIKES[..., :8])
    assert spike_array_size(tmp_path / 'x.dat') is None
    np.testing.assert_array_equal(read_spikes(tmp_path / 'x.dat', HEIGHT, 8, columns=(0, 5)), SPIKES[..., :5])
