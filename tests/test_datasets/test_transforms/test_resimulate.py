import numpy as np
import pytest

from vrtspike.datasets import ClipDataset, PairedRandomCrop, ProcessedClips, Resimulate, SampleKey
from vrtspike.datasets.color import decode_srgb, encode_srgb_uint8, luminance
from vrtspike.errors import ConfigError, DataError

FRAMES, STEPS = 3, 32


def sample(light='linear', threshold=1.0, seed=0):
    rng = np.random.default_rng(0)
    blur = rng.integers(0, 256, (FRAMES, 8, 8, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    spikes = rng.integers(0, 2, (FRAMES, STEPS, 16, 16), np.uint8)
    meta = {'threshold': threshold, 'light': light, 'name': 'clip', 'first_frame': '0'}
    return {'blur': blur, 'spikes': spikes, 'meta': meta, 'rng': np.random.default_rng(seed)}


def test_a_clip_without_sharp_frames_becomes_a_smaller_one_with_them():
    made = Resimulate(16)(sample())
    assert made['blur'].shape == made['sharp'].shape == (FRAMES, 16, 16, 3)
    assert made['spikes'].shape == (FRAMES, STEPS, 8, 8)
    assert made['blur'].dtype == made['sharp'].dtype == made['spikes'].dtype == np.uint8
    assert made['meta'] == sample()['meta']


@pytest.mark.parametrize('light', ['linear', 'encoded'])
@pytest.mark.parametrize('threshold', [1.0, 2.0])
def test_spikes_have_the_light_of_the_blurred_frames(light, threshold):
    made = Resimulate(16)(sample(light, threshold))
    values = made['blur'] / np.float32(255)
    shown = luminance(decode_srgb(values) if light == 'linear' else values)
    expected = shown.reshape(FRAMES, 8, 2, 8, 2).mean((2, 4))
    light_of_spikes = made['spikes'].mean(1) * threshold
    # A pixel's count is wrong by less than one spike.
    np.testing.assert_allclose(light_of_spikes, expected, atol=threshold / STEPS + 0.01)


def test_what_does_not_move_is_not_blurred():
    made = Resimulate(16, speeds=(1e-3, 1e-3))(sample())
    assert np.abs(made['blur'].astype(int) - made['sharp']).max() <= 1


def test_what_moves_is_blurred():
    still, moving = (Resimulate(16, speeds=(speed, speed))(sample()) for speed in (0.5, 8.0))
    blurred = [np.abs(made['blur'].astype(int) - made['sharp']).mean() for made in (still, moving)]
    assert blurred[1] > 4 * blurred[0]


def test_the_scene_is_the_estimate_of_sdm_at_half_its_size():
    given = sample()
    given['spikes'][:] = 0  # without spikes, the estimate is the blurred frame
    given['blur'][:] = given['blur'][:1]
    made = Resimulate(16, speeds=(1e-3, 1e-3))(given)
    linear = decode_srgb(given['blur'][0] / np.float32(255))
    halved = encode_srgb_uint8(linear.reshape(16, 2, 16, 2, 3).mean((1, 3)))
    # The object covers a part of it.
    assert (np.abs(made['sharp'][0].astype(int) - halved) <= 3).all(axis=-1).mean() > 0.5


def test_a_sample_depends_on_its_random_numbers_alone():
    one, same, other = (Resimulate(16)(sample(seed=seed)) for seed in (0, 0, 1))
    for kind in ('blur', 'sharp', 'spikes'):
        np.testing.assert_array_equal(one[kind], same[kind])
        assert not np.array_equal(one[kind], other[kind])


def test_a_share_of_the_clips_is_replaced_and_the_others_are_cropped():
    transform = Resimulate(16, share=0.3)
    made = [transform(sample(seed=seed)) for seed in range(60)]
    assert all(each['blur'].shape[1:3] == (16, 16) and each['spikes'].shape[2:] == (8, 8) for each in made)
    assert 8 <= sum('sharp' in each for each in made) <= 30
    np.testing.assert_array_equal(np.unique(made[0]['blur']), np.unique(Resimulate(16, share=0)(sample())['blur']))


def test_it_takes_the_crops_of_a_data_set_without_sharp_frames(tiny_demo):
    pipeline = [PairedRandomCrop(32), Resimulate(16)]
    clips = ClipDataset(ProcessedClips(tiny_demo, sharp=None), 'train', clip_len=4, pipeline=pipeline)
    assert clips[SampleKey(0, 5, 0)]['sharp'].shape == (4, 16, 16, 3)


@pytest.mark.parametrize('arguments', [dict(size=16, speeds=(0, 1)), dict(size=16, share=2.0), dict(size=0)])
def test_arguments_are_checked(arguments):
    with pytest.raises(ConfigError):
        Resimulate(**arguments)


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_frames_of_less_than_twice_its_size_are_refused(share):
    Resimulate(16, share=share)(sample())  # of 32 x 32 pixels
    message = r'size=18\) got frames of 32 x 32 pixels, expected at least twice .* after a crop of 36 or more'
    with pytest.raises(ConfigError, match=message):
        Resimulate(18, share=share)(sample())


def test_clips_without_raw_spikes_are_refused():
    with pytest.raises(DataError, match='no raw spikes'):
        Resimulate(16)({'blur': sample()['blur'], 'meta': {}})
