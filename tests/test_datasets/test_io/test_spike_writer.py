import numpy as np
import pytest

from vrtspike.datasets import read_spike_dat
from vrtspike.datasets.io.spike_writer import WRITERS, open_spike_writer
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import DataError

SPIKES = np.random.default_rng(0).integers(0, 2, (50, 6, 12), dtype=np.uint8)


def write(path, **options):
    with open_spike_writer(path, SPIKES.shape, **options) as append:
        append(SPIKES[:20])
        append(SPIKES[20:])
    return path


def test_numpy_reads_what_was_written(tmp_path):
    np.testing.assert_array_equal(np.load(write(tmp_path / 'a.npy')), SPIKES)
    with np.load(write(tmp_path / 'a.npz')) as arrays:
        np.testing.assert_array_equal(arrays['spk'], SPIKES)


def test_matlab_files_are_hdf5_with_a_header_and_reversed_axes(tmp_path):
    h5py = pytest.importorskip('h5py')
    path = write(tmp_path / 'a.mat')
    assert path.read_bytes()[:128].endswith(b'\x00\x02IM')
    with h5py.File(path) as file:
        assert file['spk'].attrs['MATLAB_class'] == b'uint8'
        np.testing.assert_array_equal(file['spk'][()].T, SPIKES)


def test_raw_bits_have_the_order_of_the_layout(tmp_path):
    np.testing.assert_array_equal(read_spike_dat(write(tmp_path / 'a.dat'), 6, 12), SPIKES)
    other = write(tmp_path / 'b.dat', layout=SpikeLayout('big', flipped=False))
    assert other.read_bytes() == np.packbits(SPIKES).tobytes()
    np.testing.assert_array_equal(read_spike_dat(other, 6, 12, bit_order='big', flipped=False), SPIKES)
    part = read_spike_dat(other, 6, 12, rows=(1, 4), columns=(3, 9), start=7, steps=2, bit_order='big', flipped=False)
    np.testing.assert_array_equal(part, SPIKES[7:9, 1:4, 3:9])


@pytest.mark.parametrize('suffix', sorted(WRITERS))
def test_spikes_that_end_too_early_leave_nothing(tmp_path, suffix):
    with (
        pytest.raises(DataError, match='was to have 50 steps, but 20 were given'),
        open_spike_writer(tmp_path / f'a{suffix}', SPIKES.shape) as append,
    ):
        append(SPIKES[:20])
    assert list(tmp_path.iterdir()) == []
