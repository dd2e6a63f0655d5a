import numpy as np
import pytest

from vrtspike.datasets import AddSDM, BinSpikes, DropSpikes, PackClip, PairedRandomCrop, PairedRandomFlip
from vrtspike.datasets.sdm import sdm
from vrtspike.errors import ConfigError


def sample(light='linear'):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 2, 16, 16, 3), np.uint8)
    spikes = rng.integers(0, 2, (2, 32, 8, 8), np.uint8)
    meta = {'threshold': 1.0, 'light': light}
    return {'blur': frames[0], 'sharp': frames[1], 'spikes': spikes, 'meta': meta, 'rng': np.random.default_rng(1)}


@pytest.mark.parametrize('light', ['linear', 'encoded'])
def test_every_frame_gets_the_estimate_from_its_own_spikes(light):
    given = sample(light)
    added = AddSDM()(given)
    for estimate, blur, spikes in zip(added['sdm'], given['blur'], given['spikes'], strict=True):
        np.testing.assert_array_equal(estimate, sdm(blur, spikes, light))


def test_the_estimate_is_packed_cropped_and_flipped_with_the_frames():
    added = PairedRandomFlip(time=0)(PairedRandomCrop(8)(AddSDM()(sample())))
    marked = PairedRandomFlip(time=0)(PairedRandomCrop(8)({**sample(), 'sdm': sample()['blur']}))
    assert added['sdm'].shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(marked['sdm'], marked['blur'])
    assert PackClip()(BinSpikes()(added))['sdm'].shape == (2, 3, 8, 8)


def test_dropped_spikes_leave_the_blurred_frames():
    for steps in ((AddSDM(), DropSpikes()), (DropSpikes(), AddSDM()), (AddSDM(), BinSpikes(), DropSpikes())):
        dropped = sample()
        for step in steps:
            dropped = step(dropped)
        np.testing.assert_array_equal(dropped['sdm'], dropped['blur'])


def test_clips_without_spikes_stay_as_they_are():
    clip = {'blur': sample()['blur'], 'meta': {}}
    assert AddSDM()(clip) == clip


def test_binned_spikes_are_an_error():
    with pytest.raises(ConfigError, match='before BinSpikes'):
        AddSDM()(BinSpikes()(sample()))
