import numpy as np
import pytest
from real_files import real_file

from vrtspike.datasets import IntegrateAndFire
from vrtspike.datasets.io import spike_arrays
from vrtspike.datasets.io.spike_arrays import open_spike_array
from vrtspike.datasets.io.spike_formats import read_spikes, spike_array_size
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import DataError

STEPS, HEIGHT, WIDTH = 50, 40, 44
LIGHT = 0.1 + 0.5 * np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
SPIKES = IntegrateAndFire(HEIGHT, WIDTH, 1.0, np.random.default_rng(0)).run(
    np.broadcast_to(LIGHT, (STEPS, *LIGHT.shape))
)


@pytest.mark.parametrize('bit_order', [None, 'little', 'big'])
@pytest.mark.parametrize('flat', [False, True])
def test_packed_bits_are_told_by_the_size(tmp_path, bit_order, flat):
    pixels = SPIKES.reshape(STEPS, -1) if flat else SPIKES
    np.savez(tmp_path / 'x.npz', spk=np.packbits(pixels, axis=-1, bitorder=bit_order or 'big'))
    found = read_spikes(tmp_path / 'x.npz', HEIGHT, WIDTH, SpikeLayout(bit_order))
    np.testing.assert_array_equal(found, SPIKES)


def test_packed_bits_without_the_size_are_refused(tmp_path):
    np.save(tmp_path / 'x.npy', np.packbits(SPIKES, axis=-1))
    with pytest.raises(DataError, match='bits packed into bytes need the size of the sensor'):
        spike_array_size(tmp_path / 'x.npy')


def test_rows_of_an_array_may_be_flipped(tmp_path):
    np.save(tmp_path / 'x.npy', SPIKES[:, ::-1])
    np.testing.assert_array_equal(read_spikes(tmp_path / 'x.npy', HEIGHT, WIDTH, SpikeLayout(flipped=True)), SPIKES)


def test_without_a_size_steps_in_the_last_axis_are_asked_for(tmp_path):
    np.save(tmp_path / 'x.npy', np.moveaxis(SPIKES, 0, 2))
    with pytest.raises(DataError, match='neighbours along the last axis fire like one pixel in time'):
        spike_array_size(tmp_path / 'x.npy')
    assert spike_array_size(tmp_path / 'x.npy', SpikeLayout(axes='HWT')) == (HEIGHT, WIDTH)
    assert spike_array_size(tmp_path / 'x.npy', SpikeLayout(axes='THW')) == (WIDTH, STEPS)
    np.save(tmp_path / 'x.npy', SPIKES)
    assert spike_array_size(tmp_path / 'x.npy') == (HEIGHT, WIDTH)


def test_a_cube_is_told_apart_by_its_spikes(tmp_path):
    cube = SPIKES[:40, :, :40]
    np.save(tmp_path / 'x.npy', cube)
    np.testing.assert_array_equal(read_spikes(tmp_path / 'x.npy', 40, 40), cube)
    np.save(tmp_path / 'y.npy', np.moveaxis(cube, 0, 2))
    with pytest.raises(DataError, match='--axes HWT or --axes THW'):
        read_spikes(tmp_path / 'y.npy', 40, 40)
    np.testing.assert_array_equal(read_spikes(tmp_path / 'y.npy', 40, 40, SpikeLayout(axes='HWT')), cube)


@pytest.mark.parametrize('order', ['C', 'F'])
def test_an_archive_is_read_in_chunks_of_either_order(tmp_path, order, monkeypatch):
    monkeypatch.setattr(spike_arrays, 'CHUNK_BYTES', 7 * HEIGHT * WIDTH)
    np.savez_compressed(tmp_path / 'x.npz', spk=np.asarray(SPIKES, order=order))
    with open_spike_array(tmp_path / 'x.npz') as array:
        chunks = list(array.chunks())
    assert {len(chunk) for chunk in chunks[:-1]} == {7}
    np.testing.assert_array_equal(np.concatenate(chunks), SPIKES)


def test_a_real_recording_tells_its_axes(tmp_path):
    path = real_file('spikezoo/uhsr.npz')
    assert spike_array_size(path) == (250, 250)
    with np.load(path) as arrays:
        np.save(tmp_path / 'x.npy', np.moveaxis(arrays['spk'], 0, 2))
    with pytest.raises(DataError, match='fire like one pixel in time'):
        spike_array_size(tmp_path / 'x.npy')
