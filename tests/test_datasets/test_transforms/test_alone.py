import numpy as np
import pytest
from real_files import real_file

from vrtspike.datasets import (
    TFI,
    AddSDM,
    BinSpikes,
    ClipDataset,
    PackClip,
    PairedRandomCrop,
    PairedRandomFlip,
    SpikesAlone,
    SpikeZooBase,
)
from vrtspike.datasets.color import decode_srgb, encode_srgb
from vrtspike.errors import ConfigError, DataError
from vrtspike.metrics import psnr


def sample(light='linear', threshold=1.0):
    rng = np.random.default_rng(0)
    spikes = rng.integers(0, 2, (2, 32, 8, 8), np.uint8)
    frames = rng.integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    meta = {'threshold': threshold, 'light': light}
    return {'blur': frames[0], 'sharp': frames[1], 'spikes': spikes, 'meta': meta, 'rng': np.random.default_rng(1)}


@pytest.mark.parametrize(('light', 'shown'), [('linear', encode_srgb), ('encoded', lambda values: values)])
def test_the_estimate_is_what_spikes_show(light, shown):
    given = sample(light, threshold=0.5)
    for transform, rates in ((SpikesAlone(), given['spikes'].mean(1)), (SpikesAlone(dict(type='TFI')), None)):
        rates = np.concatenate([TFI()(each) for each in given['spikes']]) if rates is None else rates
        added = transform(given)
        expected = np.rint(shown(rates * 0.5) * 255)[..., None].repeat(3, axis=-1)
        np.testing.assert_allclose(added['estimate'], expected, atol=1)
        np.testing.assert_array_equal(added['blur'], added['estimate'])


def test_the_target_is_the_mean_light_of_each_spike_pixel():
    given = sample()
    target = SpikesAlone()(given)['sharp']
    light = decode_srgb(given['sharp'] / 255) @ [0.2126, 0.7152, 0.0722]
    pooled = light.reshape(2, 8, 2, 8, 2).mean((2, 4))
    np.testing.assert_allclose(target, np.rint(encode_srgb(pooled) * 255)[..., None].repeat(3, -1), atol=1)


@pytest.mark.parametrize('light', ['linear', 'encoded'])
def test_a_grey_target_of_the_size_of_the_spikes_is_kept(light):
    grey = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8).repeat(3, -1)
    np.testing.assert_array_equal(SpikesAlone()({**sample(light), 'sharp': grey})['sharp'], grey)


def test_recordings_need_no_frames():
    given = {key: value for key, value in sample().items() if key not in ('blur', 'sharp')}
    packed = PackClip()(BinSpikes()(SpikesAlone()(given)))
    assert packed.keys() == {'blur', 'estimate', 'spikes', 'meta'}
    assert packed['estimate'].shape == (2, 3, 8, 8)


def test_a_crop_may_come_before_or_after():
    before = SpikesAlone()(PairedRandomCrop(8)(sample()))
    after = PairedRandomCrop(4)(SpikesAlone()(sample()))
    for kind in ('blur', 'sharp', 'estimate'):
        np.testing.assert_array_equal(before[kind], after[kind])
    flipped = PairedRandomFlip(time=0)(SpikesAlone()(sample()))
    np.testing.assert_array_equal(flipped['blur'], flipped['estimate'])


def test_what_cannot_be_estimated_is_an_error():
    with pytest.raises(DataError, match='a clip without spikes'):
        SpikesAlone()({'blur': sample()['blur'], 'meta': {}})
    with pytest.raises(ConfigError, match='before BinSpikes'):
        SpikesAlone()(BinSpikes()(AddSDM()(sample())))
    with pytest.raises(ConfigError, match='2 bins, expected one'):
        SpikesAlone(dict(type='TFP', bins=2))(sample())


@pytest.mark.parametrize(('name', 'expected_db'), [('200_part1_key_id151', 31.6), ('200_part3_key_id151', 28.9)])
def test_the_estimate_of_a_stream_of_spike_zoo_is_near_its_frame(tmp_path, name, expected_db):
    folder = real_file('spikezoo')
    for kind, suffix in (('spike', '.dat'), ('gt', '.png')):
        (tmp_path / 'test' / kind).mkdir(parents=True)
        (tmp_path / 'test' / kind / f'{name}{suffix}').symlink_to(folder / f'{name}{suffix}')
    alone = ClipDataset(SpikeZooBase(tmp_path), 'val', clip_len=1, pipeline=[SpikesAlone()])[0]
    assert psnr(alone['estimate'][0], alone['sharp'][0]) == pytest.approx(expected_db, abs=0.05)
