import numpy as np
import pytest

from vrtspike.datasets import PackedSpikes, write_spike_dat
from vrtspike.datasets.sources.sequence import SpikeWindow
from vrtspike.errors import DataError


@pytest.fixture
def clip(tmp_path):
    """Two exposures of 6 steps, as an array and packed, without the first and the last step of each file."""
    spikes = np.random.default_rng(0).integers(0, 2, (2, 8, 8, 16)).astype(np.uint8)
    windows = []
    for i, exposure in enumerate(spikes):
        write_spike_dat(tmp_path / f'{i}.dat', exposure)
        windows.append(SpikeWindow(tmp_path / f'{i}.dat', 1, 6))
    return spikes[:, 1:7], PackedSpikes(windows, (8, 16), (0, 8), (0, 16))


def test_it_looks_like_the_array_it_stands_for(clip):
    spikes, packed = clip
    assert packed.shape == spikes.shape
    assert (packed.dtype, packed.ndim, len(packed)) == (np.uint8, 4, 2)
    np.testing.assert_array_equal(np.asarray(packed), spikes)
    np.testing.assert_array_equal(np.stack(list(packed)), spikes)
    np.testing.assert_array_equal(packed[-1], spikes[-1])
    np.testing.assert_array_equal(packed[:, 2:4], spikes[:, 2:4])
    assert np.asarray(packed, np.float32).dtype == np.float32


@pytest.mark.parametrize(('rows', 'columns'), [((1, 5), (3, 12)), ((0, 8), (8, 16)), ((2, None), (None, 5))])
def test_a_crop_reads_nothing_until_it_is_used(clip, monkeypatch, rows, columns):
    spikes, packed = clip
    monkeypatch.setattr('vrtspike.datasets.io.packed_spikes.read_spikes', lambda *_, **__: pytest.fail('it read'))
    cropped = packed[..., slice(*rows), slice(*columns)]
    assert isinstance(cropped, PackedSpikes)
    assert cropped.shape == spikes[..., slice(*rows), slice(*columns)].shape
    monkeypatch.undo()
    np.testing.assert_array_equal(cropped, spikes[..., slice(*rows), slice(*columns)])
    np.testing.assert_array_equal(cropped[..., 1:2, 1:3], spikes[..., slice(*rows), slice(*columns)][..., 1:2, 1:3])


def test_steps_left_open_are_those_of_the_file(tmp_path):
    write_spike_dat(tmp_path / 'x.dat', np.zeros((5, 8, 8), np.uint8))
    write_spike_dat(tmp_path / 'y.dat', np.zeros((6, 8, 8), np.uint8))
    x, y = (SpikeWindow(tmp_path / f'{name}.dat', 2, None) for name in 'xy')
    assert PackedSpikes([x], (8, 8), (0, 8), (0, 8)).shape == (1, 3, 8, 8)
    with pytest.raises(DataError, match=r'x\.dat and the files after it have \[3, 4\] steps'):
        PackedSpikes([x, y], (8, 8), (0, 8), (0, 8))


def test_a_damaged_copy_gives_way_to_the_original(clip, tmp_path):
    spikes, packed = clip
    (tmp_path / 'copy').write_bytes(b'no spikes')
    packed.local = lambda path: tmp_path / 'copy'
    np.testing.assert_array_equal(packed[0], spikes[0])
    (tmp_path / '0.dat').write_bytes(b'no spikes')
    with pytest.raises(DataError, match=r'0\.dat has 9 bytes'):
        packed[0]
