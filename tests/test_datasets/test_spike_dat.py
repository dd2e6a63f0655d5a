import errno

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat, write_spike_dat
from vrtspike.errors import DataError

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 6), st.integers(1, 12)).filter(lambda s: s[1] * s[2] % 8 == 0)
SPIKES = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1)))


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return tmp_path_factory.mktemp('dat') / 'x.dat'


@given(SPIKES)
def test_what_is_written_is_read_back(path, spikes):
    write_spike_dat(path, spikes)
    steps, height, width = spikes.shape
    read = read_spike_dat(path, height, width, expected_steps=steps)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, spikes)
    assert count_spike_steps(path, height, width) == steps


@given(SPIKES, st.data())
def test_a_window_is_that_part_of_the_file(path, spikes, data):
    steps, height, width = spikes.shape
    start = data.draw(st.integers(0, steps - 1))
    count = data.draw(st.none() | st.integers(1, steps - start))
    write_spike_dat(path, spikes)
    window = read_spike_dat(path, height, width, start=start, steps=count)
    np.testing.assert_array_equal(window, spikes[start : None if count is None else start + count])


def test_bits_are_least_significant_first_and_rows_bottom_up(tmp_path):
    # Two steps of 2 x 8. In the file the bottom row comes first: pixel 0 is bit 0, so 0b00000101 lights columns 0, 2.
    path = tmp_path / 'hand.dat'
    path.write_bytes(bytes([0b00000101, 0b10000000, 0b00000000, 0b11111111]))
    expected = np.zeros((2, 2, 8), np.uint8)
    expected[0, 1, [0, 2]] = 1
    expected[0, 0, 7] = 1
    expected[1, 0] = 1
    np.testing.assert_array_equal(read_spike_dat(path, 2, 8), expected)
    write_spike_dat(tmp_path / 'again.dat', expected)
    assert (tmp_path / 'again.dat').read_bytes() == path.read_bytes()


def test_a_truncated_file_is_refused_with_its_numbers(tmp_path):
    path = tmp_path / 'cut.dat'
    path.write_bytes(bytes(4 * 8 + 3))
    with pytest.raises(DataError, match=r'cut\.dat has 35 bytes, expected a multiple of 8 .* 3 bytes are left after 4'):
        read_spike_dat(path, 8, 8)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / 'empty.dat').touch()
    with pytest.raises(DataError, match='0 bytes'):
        count_spike_steps(tmp_path / 'empty.dat', 8, 8)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('os.replace', full)
    with pytest.raises(DataError, match=r'x\.dat could not be written: No space left'):
        write_spike_dat(tmp_path / 'x.dat', np.zeros((1, 8, 8), np.uint8))
    assert not any(tmp_path.iterdir())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r'none\.dat is missing'):
        read_spike_dat(tmp_path / 'none.dat', 8, 8)


def test_sizes_that_do_not_fill_bytes_are_refused(tmp_path):
    with pytest.raises(DataError, match='3 x 3 pixels is undefined'):
        write_spike_dat(tmp_path / 'odd.dat', np.zeros((1, 3, 3), np.uint8))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('window', [{'start': 3, 'steps': 2}, {'start': 4}, {'start': -1}, {'steps': 0}])
def test_windows_beyond_the_file_are_refused(tmp_path, window):
    write_spike_dat(tmp_path / 'x.dat', np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(DataError, match='has 4 steps'):
        read_spike_dat(tmp_path / 'x.dat', 8, 8, **window)


def test_another_number_of_steps_than_expected_is_refused(tmp_path):
    write_spike_dat(tmp_path / 'x.dat', np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r'has 4 steps of 8 x 8 spikes, expected 5'):
        read_spike_dat(tmp_path / 'x.dat', 8, 8, expected_steps=5)


@pytest.mark.parametrize('spikes', [np.full((1, 8, 8), 2), np.full((1, 8, 8), 0.5), np.zeros((8, 8))])
def test_what_is_not_binary_is_refused_and_the_old_file_stays(tmp_path, spikes):
    path = tmp_path / 'x.dat'
    path.write_bytes(b'precious')
    with pytest.raises(DataError, match=r'x\.dat: spikes h'):
        write_spike_dat(path, spikes)
    assert path.read_bytes() == b'precious'
    assert list(tmp_path.iterdir()) == [path]


def read_by_definition(path, height, width):
    """Look every pixel up on its own: bit p mod 8 of byte p // 8 of its step, rows bottom-up."""
    data = path.read_bytes()
    steps = len(data) // (height * width // 8)
    spikes = np.zeros((steps, height, width), np.uint8)
    for step in range(steps):
        for pixel in range(height * width):
            byte = data[step * (height * width // 8) + pixel // 8]
            row, column = divmod(pixel, width)
            spikes[step, height - 1 - row, column] = byte >> (pixel % 8) & 1
    return spikes


@given(SPIKES)
def test_reading_follows_the_definition(path, spikes):
    write_spike_dat(path, spikes)
    np.testing.assert_array_equal(read_by_definition(path, *spikes.shape[1:]), spikes)


@pytest.mark.parametrize(
    ('height', 'width'), [(250, 400), (250, 416), (1000, 1000), (360, 640), (384, 384), (256, 256)]
)
def test_the_usual_sizes_read_as_defined(tmp_path, height, width):
    path = tmp_path / 'x.dat'
    steps = 3
    content = np.random.default_rng(height).integers(0, 256, steps * height * width // 8, dtype=np.uint8)
    content.tofile(path)
    found = read_spike_dat(path, height, width)
    pixels = np.arange(height * width)
    for step in range(steps):
        part = content[step * height * width // 8 :]
        expected = part[pixels // 8] >> (pixels % 8) & 1
        np.testing.assert_array_equal(found[step], expected.reshape(height, width)[::-1])
    write_spike_dat(tmp_path / 'again.dat', found)
    assert (tmp_path / 'again.dat').read_bytes() == content.tobytes()


@given(SPIKES, st.data())
def test_a_part_of_the_sensor_is_that_part_of_the_whole(path, spikes, data):
    write_spike_dat(path, spikes)
    _, height, width = spikes.shape
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    part = read_spike_dat(path, height, width, rows=(top, bottom), columns=(left, right))
    assert part.flags.c_contiguous
    np.testing.assert_array_equal(part, spikes[:, top:bottom, left:right])


@pytest.mark.parametrize('part', [{'rows': (0, 9)}, {'rows': (-1, 3)}, {'columns': (3, 3)}, {'columns': (5, 4)}])
def test_parts_beyond_the_sensor_are_refused(tmp_path, part):
    write_spike_dat(tmp_path / 'x.dat', np.zeros((4, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r'has 8 (rows|columns)'):
        read_spike_dat(tmp_path / 'x.dat', 8, 8, **part)


@given(content=st.binary(max_size=200), height=st.integers(-1, 9), width=st.integers(-1, 17), steps=st.integers(-1, 9))
def test_any_file_is_read_as_defined_or_refused(path, content, height, width, steps):
    path.write_bytes(content)
    size = height * width // 8
    sound = height > 0 and width > 0 and height * width % 8 == 0 and content and len(content) % size == 0
    if sound and len(content) // size == steps:
        found = read_spike_dat(path, height, width, expected_steps=steps)
        np.testing.assert_array_equal(found, read_by_definition(path, height, width))
    else:
        with pytest.raises(DataError):
            read_spike_dat(path, height, width, expected_steps=steps)


def test_a_folder_and_an_unreadable_file_are_refused(tmp_path):
    with pytest.raises(DataError, match='is missing'):
        read_spike_dat(tmp_path, 8, 8)


@given(SPIKES, st.data())
def test_damage_of_the_length_never_passes(path, spikes, data):
    write_spike_dat(path, spikes)
    steps, height, width = spikes.shape
    whole = path.read_bytes()
    length = data.draw(st.integers(0, 3 * len(whole)).filter(lambda length: length != len(whole)))
    path.write_bytes((whole * 3)[:length])
    with pytest.raises(DataError):
        read_spike_dat(path, height, width, expected_steps=steps)
