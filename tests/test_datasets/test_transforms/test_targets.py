import numpy as np
import pytest

from vrtspike.datasets import (
    BinSpikes,
    ClipDataset,
    PackClip,
    PairedRandomCrop,
    PairedRandomFlip,
    ProcessedClips,
    SDMTargets,
)
from vrtspike.datasets.instants import SpikesAround
from vrtspike.datasets.sdm import sdm
from vrtspike.errors import ConfigError, DataError

STEPS = 16


def sample(frames=2, sharp=True):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, frames, 8, 8, 3), np.uint8)
    spikes = rng.integers(0, 2, (frames, STEPS, 4, 4), np.uint8)
    given = {'blur': images[0], 'spikes': spikes, 'rng': np.random.default_rng(1)}
    return given | ({'sharp': images[1]} if sharp else {}) | {'meta': {'threshold': 1.0, 'light': 'linear'}}


def test_a_clip_is_repeated_at_the_centres_of_equal_parts_of_the_exposure():
    given, repeated = sample(), SDMTargets(instants=3)(sample())
    np.testing.assert_allclose(repeated['instant'], np.repeat([1 / 6, 1 / 2, 5 / 6], 2), rtol=1e-6)
    np.testing.assert_array_equal(repeated['blur'], np.concatenate([given['blur']] * 3))
    margin = repeated['margin']
    np.testing.assert_array_equal(repeated['spikes'][:, margin : margin + STEPS], np.concatenate([given['spikes']] * 3))
    assert repeated['meta']['instants'] == 3


def test_without_sharp_frames_every_target_is_the_estimate_at_its_instant():
    given, repeated = sample(sharp=False), SDMTargets(instants=3)(sample(sharp=False))
    assert not repeated['meta']['supervised'].any()
    beside = np.zeros((6, 4, 4), np.uint8)
    for i, instant in enumerate([1 / 6, 1 / 2, 5 / 6]):
        for frame in range(2):
            known = np.pad(np.ones(STEPS, bool), 6)
            spikes = np.concatenate([beside, given['spikes'][frame], beside])
            expected = sdm(given['blur'][frame], SpikesAround(spikes, 6, known, np.float32(instant).item()))
            np.testing.assert_array_equal(repeated['sharp'][2 * i + frame], expected)


def test_sharp_frames_are_the_targets_in_the_middle_and_the_estimate_elsewhere():
    repeated = SDMTargets(instants=3)(sample())
    np.testing.assert_array_equal(repeated['meta']['supervised'], [False, False, True, True, False, False])
    np.testing.assert_array_equal(repeated['sharp'][2:4], sample()['sharp'])
    np.testing.assert_array_equal(repeated['sharp'][[0, 1, 4, 5]], repeated['sdm'][[0, 1, 4, 5]])


def test_clips_with_and_without_sharp_frames_have_the_same_keys_and_shapes():
    packed = [PackClip()(BinSpikes()(SDMTargets()(sample(sharp=sharp)))) for sharp in (True, False)]
    shapes = [{key: value.shape for key, value in each.items() if key != 'meta'} for each in packed]
    assert shapes[0] == shapes[1]
    assert packed[0]['meta'].keys() == packed[1]['meta'].keys()


def test_reversed_time_keeps_targets_with_their_instants():
    flip = PairedRandomFlip(horizontal=0, vertical=0, transpose=0, time=1)
    flipped, repeated = flip(SDMTargets(instants=3)(sample())), SDMTargets(instants=3)(sample())
    np.testing.assert_allclose(flipped['instant'], repeated['instant'], rtol=1e-6)
    np.testing.assert_array_equal(flipped['sharp'], repeated['sharp'][::-1])
    np.testing.assert_array_equal(flipped['meta']['supervised'], repeated['meta']['supervised'])


def test_steps_beside_the_exposure_are_read_where_the_file_has_them(tiny_demo):
    pipeline = [PairedRandomCrop(16), SDMTargets(instants=3)]
    clips = ClipDataset(ProcessedClips(tiny_demo, sharp=None), 'train', clip_len=2, pipeline=pipeline)
    read = clips[0]
    assert read['spikes'].shape == (6, 16 + 2 * 6, 8, 8)
    assert read['known'].shape == (6, 16 + 2 * 6)
    assert 'sharp' not in clips.read(0)


@pytest.mark.parametrize('instants', [2, 0])
def test_an_even_number_has_no_middle(instants):
    with pytest.raises(ConfigError, match='instants'):
        SDMTargets(instants=instants)


def test_clips_without_raw_spikes_are_refused():
    with pytest.raises(DataError, match='no raw spikes'):
        SDMTargets()({'blur': sample()['blur'], 'meta': {}})
    with pytest.raises(DataError, match='before BinSpikes'):
        SDMTargets()(BinSpikes()(sample()))


def test_instants_of_the_data_set_are_refused():
    with pytest.raises(ConfigError, match='leave out'):
        SDMTargets()({**sample(), 'instant': np.full(2, 0.5, np.float32)})
