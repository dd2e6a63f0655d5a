import numpy as np
import pytest

from vrtspike.datasets.transforms import PairedRandomFlip
from vrtspike.errors import ConfigError, DataError

NEVER = {'horizontal': 0, 'vertical': 0, 'transpose': 0, 'time': 0}


def random_sample(shape=(6, 6), seed=0):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 3, *shape, 3)).astype(np.uint8)
    spikes = rng.integers(0, 2, (3, 5, shape[0] // 2, shape[1] // 2)).astype(np.uint8)
    meta = {'name': 'seq', 'first_frame': '00'}
    generator = np.random.default_rng(seed)
    return {'blur': frames[0], 'sharp': frames[1], 'spikes': spikes, 'rng': generator, 'meta': meta}


def flip_with(**probabilities):
    return PairedRandomFlip(**{**NEVER, **probabilities})


EXPECTED = {
    'horizontal': (lambda x: x[:, :, ::-1], lambda s: s[..., ::-1]),
    'vertical': (lambda x: x[:, ::-1], lambda s: s[..., ::-1, :]),
    'transpose': (lambda x: x.transpose(0, 2, 1, 3), lambda s: s.transpose(0, 1, 3, 2)),
    'time': (lambda x: x[::-1], lambda s: s[::-1, ::-1]),
}


@pytest.mark.parametrize('name', EXPECTED)
def test_each_flip_moves_frames_and_spikes_alike(name):
    frames, spikes = EXPECTED[name]
    sample, flipped = random_sample(), flip_with(**{name: 1})(random_sample())
    np.testing.assert_array_equal(flipped['blur'], frames(sample['blur']))
    np.testing.assert_array_equal(flipped['sharp'], frames(sample['sharp']))
    np.testing.assert_array_equal(flipped['spikes'], spikes(sample['spikes']))


def test_reversed_time_is_one_reversed_recording():
    sample, flipped = random_sample(), flip_with(time=1)(random_sample())
    whole = [s['spikes'].reshape(-1, 3, 3) for s in (sample, flipped)]
    np.testing.assert_array_equal(whole[0][::-1], whole[1])


def test_never_means_unchanged():
    np.testing.assert_array_equal(flip_with()(random_sample())['spikes'], random_sample()['spikes'])


def test_all_sixteen_combinations_come_about():
    seen = {PairedRandomFlip()(random_sample(seed=seed))['spikes'].tobytes() for seed in range(200)}
    assert len(seen) == 16


def test_only_square_frames_are_transposed():
    with pytest.raises(DataError, match=r"square frames only, but 'seq' .* has 6 x 8"):
        PairedRandomFlip()(random_sample((6, 8)))
    assert flip_with(vertical=1)(random_sample((6, 8)))['blur'].shape == (3, 6, 8, 3)


def test_a_probability_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r'time=1\.5'):
        PairedRandomFlip(time=1.5)
