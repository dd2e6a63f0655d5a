import numpy as np
import pytest

from vrtspike.datasets.io.artefacts import artefact_maker, read_artefact
from vrtspike.errors import ConfigError, DataError

#: The steps of each map as S-VRT's own scripts take them, found by running these on random spikes of n steps.
PUBLISHED = [
    ('tfp_b4_hw20', 56, [(0, 41), (1, 42), (15, 56), (16, 56)]),
    ('tfp_b4_hw20', 88, [(0, 41), (13, 54), (35, 76), (48, 88)]),
    ('tfp_b5_hw20', 56, [(0, 41), (0, 41), (7, 48), (16, 56), (16, 56)]),
    ('tfp_b5_hw6', 62, [(0, 13), (12, 25), (24, 37), (37, 50), (49, 62)]),
    ('tfp_b1_hw20', 56, [(8, 49)]),
]
WINDOWS = [
    ('raw_window_l21', 56, [18], 21),
    ('raw_window_l21', 57, [18], 21),
    ('raw_window_l21', 88, [34], 21),
    ('encoding25_dt10_s4', 56, [0, 10, 21, 31], 25),
    ('encoding25_dt10_s4', 88, [0, 21, 42, 63], 25),
    ('encoding25_dt10_s3', 56, [0, 16, 31], 25),
    ('encoding25_dt10_s5', 62, [0, 9, 18, 28, 37], 25),
    ('encoding25_dt10', 56, [15], 25),
    ('encoding25_dt10', 57, [16], 25),
]


@pytest.fixture
def spikes():
    return lambda steps: (np.random.default_rng(steps).random((steps, 2, 8)) < 0.4).astype(np.uint8)


@pytest.mark.parametrize(('folder', 'steps', 'windows'), PUBLISHED)
def test_tfp_is_that_of_the_published_scripts(spikes, folder, steps, windows):
    stream = spikes(steps)
    expected = np.stack([np.floor(stream[start:end].mean(axis=0) * 255) for start, end in windows]) / 255
    np.testing.assert_allclose(artefact_maker(folder)(stream), expected, atol=1e-7)


@pytest.mark.parametrize(('folder', 'steps', 'starts', 'length'), WINDOWS)
def test_windows_are_those_of_the_published_scripts(spikes, folder, steps, starts, length):
    stream = spikes(steps)
    expected = np.concatenate([stream[start : start + length] for start in starts])
    np.testing.assert_array_equal(artefact_maker(folder)(stream), expected)


def test_short_files_and_other_names_are_refused(spikes):
    with pytest.raises(DataError, match='has 40 steps, but its artefact is made from windows of 41'):
        artefact_maker('tfp_b4_hw20')(spikes(40))
    with pytest.raises(ConfigError, match="'tfp4' is no folder of artefacts"):
        artefact_maker('tfp4')


@pytest.mark.parametrize('kind', [np.uint8, np.float32])
def test_both_types_of_the_scripts_are_read(tmp_path, kind):
    values = np.arange(4 * 6 * 8).reshape(4, 6, 8).astype(np.uint8)
    path = tmp_path / 'tfp_b4_hw20' / '0.npy'
    path.parent.mkdir()
    np.save(path, values if kind == np.uint8 else values / np.float32(255))
    found = read_artefact(path, (6, 8), (1, 3), (2, 8))
    np.testing.assert_allclose(found, values[:, 1:3, 2:8] / 255, atol=1e-7)


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (np.zeros((4, 3, 8), np.uint8), r'has the shape \(4, 3, 8\), expected \(\.\.\., 6, 8\)'),
        (np.zeros((4, 6, 8)), 'has float64 values'),
    ],
)
def test_foreign_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / '0.npy', array)
    with pytest.raises(DataError, match=message):
        read_artefact(tmp_path / '0.npy', (6, 8), (0, 6), (0, 8))


@pytest.mark.parametrize('data', [b'', b'no array', b'\x93NUMPY\x01\x00'])
def test_damaged_files_are_refused(tmp_path, data):
    (tmp_path / '0.npy').write_bytes(data)
    with pytest.raises(DataError, match=r'0\.npy cannot be read'):
        read_artefact(tmp_path / '0.npy', (6, 8), (0, 6), (0, 8))
