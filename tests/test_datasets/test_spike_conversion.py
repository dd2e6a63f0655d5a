from itertools import product

import numpy as np
import pytest

from vrtspike.datasets import spike_conversion
from vrtspike.datasets.io import spike_arrays
from vrtspike.datasets.io.spike_formats import read_spikes
from vrtspike.datasets.io.spike_writer import WRITERS, open_spike_writer
from vrtspike.datasets.sources.description import describe_spikes
from vrtspike.datasets.spike_conversion import convert_spikes
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import DataError

SIZE = (6, 12)
SPIKES = np.random.default_rng(0).integers(0, 2, (50, *SIZE), dtype=np.uint8)
SUFFIXES = sorted(WRITERS)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks, the last of them shorter."""
    monkeypatch.setattr(spike_arrays, 'CHUNK_BYTES', 7 * SIZE[0] * SIZE[1])


def write(path, spikes=SPIKES):
    with open_spike_writer(path, spikes.shape) as append:
        append(spikes[:20])
        append(spikes[20:])
    return path


@pytest.mark.parametrize(('source', 'target'), [*product(SUFFIXES, SUFFIXES)])
def test_every_format_becomes_every_other(tmp_path, source, target):
    path = write(tmp_path / f'a{source}')
    seen = []
    shape = convert_spikes(
        path, tmp_path / f'b{target}', describe_spikes(path, size=SIZE), progress=lambda *each: seen.append(each)
    )
    assert shape == SPIKES.shape
    assert seen[:2] == [(7, 100), (14, 100)]
    assert seen[-1] == (100, 100)
    np.testing.assert_array_equal(read_spikes(tmp_path / f'b{target}', *SIZE), SPIKES)


def test_raw_files_may_change_their_order(tmp_path):
    path, other = write(tmp_path / 'a.dat'), SpikeLayout('big', flipped=False)
    convert_spikes(path, tmp_path / 'b.dat', describe_spikes(path, size=SIZE), other)
    assert (tmp_path / 'b.dat').read_bytes() == np.packbits(SPIKES).tobytes()
    convert_spikes(tmp_path / 'b.dat', tmp_path / 'c.dat', describe_spikes(path, size=SIZE, layout=other))
    assert (tmp_path / 'c.dat').read_bytes() == path.read_bytes()


def test_columns_are_dropped_on_request(tmp_path):
    path = write(tmp_path / 'a.npz')
    convert_spikes(path, tmp_path / 'b.dat', describe_spikes(path, keep_columns=8))
    np.testing.assert_array_equal(read_spikes(tmp_path / 'b.dat', 6, 8), SPIKES[..., :8])


def test_memory_does_not_grow_with_the_length(tmp_path, monkeypatch):
    longest, read = [0], spike_arrays.SpikeArray.read

    def watched(self, start, stop):
        longest[0] = max(longest[0], stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(spike_arrays.SpikeArray, 'read', watched)
    path = write(tmp_path / 'a.npz', np.tile(SPIKES, (20, 1, 1)))
    assert convert_spikes(path, tmp_path / 'b.h5', describe_spikes(path, size=SIZE))[0] == 1000
    assert longest == [7]


def test_a_size_that_fills_no_bytes_is_refused_in_raw_files(tmp_path):
    path = write(tmp_path / 'a.npy', SPIKES[..., :11])
    with pytest.raises(DataError, match='6 x 11 pixels is undefined'):
        convert_spikes(path, tmp_path / 'b.dat', describe_spikes(path))
    assert not (tmp_path / 'b.dat').exists()


def test_existing_files_and_other_suffixes_are_refused(tmp_path):
    path = write(tmp_path / 'a.npy')
    with pytest.raises(DataError, match=r'a\.npy exists: choose another name'):
        convert_spikes(path, path, describe_spikes(path))
    with pytest.raises(DataError, match=r'b\.txt cannot be written: expected one of the suffixes \.dat'):
        convert_spikes(path, tmp_path / 'b.txt', describe_spikes(path))


def test_spikes_that_are_read_back_differently_are_deleted(tmp_path, monkeypatch):
    path, writer = write(tmp_path / 'a.npy'), spike_conversion.open_spike_writer
    known = describe_spikes(path)
    monkeypatch.setattr(
        spike_conversion, 'open_spike_writer', lambda target, shape, layout: writer(target, shape, SpikeLayout('big'))
    )
    with pytest.raises(DataError, match='read back with other spikes'):
        convert_spikes(path, tmp_path / 'b.dat', known)
    assert not (tmp_path / 'b.dat').exists()


def damaged(whole, other):
    """Yield files that are not what their suffix says: cut, of another format, or of something else."""
    yield from (whole[: int(len(whole) * share)] for share in (0, 0.01, 0.3, 0.6, 0.9))
    yield whole[:-1]
    yield other
    yield b'\x89PNG\r\n\x1a\n' + bytes(100)
    yield whole[:64] + np.random.default_rng(0).bytes(300)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('suffix', SUFFIXES)
def test_damaged_files_are_one_message_and_nothing_is_written(tmp_path, suffix):
    whole = write(tmp_path / f'whole{suffix}').read_bytes()
    other = write(tmp_path / ('other.mat' if suffix == '.npz' else 'other.npz')).read_bytes()
    source, out = tmp_path / f'a{suffix}', tmp_path / 'out'
    out.mkdir()
    contents = list(damaged(whole, other))
    if suffix == '.dat':  # bits are spikes wherever they fill whole steps of 9 bytes
        contents = [content for content in contents if len(content) % 9 or not content]
        assert len(contents) == 5
    for content in contents:
        source.write_bytes(content)
        with pytest.raises(DataError) as caught:
            convert_spikes(source, out / 'b.npy', describe_spikes(source, size=SIZE if suffix == '.dat' else None))
        assert str(caught.value).startswith(str(source))
        assert len(str(caught.value).splitlines()) == 1
        assert list(out.iterdir()) == []
