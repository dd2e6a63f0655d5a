import numpy as np
import pytest

from vrtspike.datasets.instants import ExposureSpikes, with_unknown_margin
from vrtspike.inference.raw_clip import RawClip

BLUR = np.zeros((2, 6, 8, 3), np.uint8)
SPIKES = np.random.default_rng(0).integers(0, 2, (2, 8, 3, 4), np.uint8)


def test_without_spikes_a_sample_has_no_threshold():
    sample = RawClip(BLUR, 'clip', '007').sample()
    assert sample.keys() == {'blur', 'meta', 'rng'}
    assert sample['meta'] == {'name': 'clip', 'index': 0, 'first_frame': '007'}


def test_spikes_come_with_their_threshold_and_light():
    sample = RawClip(BLUR, 'clip', '007', ExposureSpikes(SPIKES), 2.0, 'encoded').sample()
    assert sample.keys() == {'blur', 'meta', 'rng', 'spikes'}
    assert (sample['meta']['threshold'], sample['meta']['light']) == (2.0, 'encoded')


@pytest.mark.parametrize(('instant', 'margin'), [(0.0, 4), (0.25, 2)])
def test_an_instant_keeps_as_many_steps_beside_the_exposure_as_it_needs(instant, margin):
    sample = RawClip(BLUR, 'clip', '007', with_unknown_margin(SPIKES, 4), 1.0).at(instant).sample()
    assert sample['instant'].tolist() == [instant] * 2
    assert sample['margin'] == margin
    assert sample['known'].tolist() == [[False] * margin + [True] * 8 + [False] * margin] * 2
    np.testing.assert_array_equal(sample['spikes'][:, margin:-margin], SPIKES)


def test_the_middle_needs_no_steps_beside_the_exposure():
    sample = RawClip(BLUR, 'clip', '007', with_unknown_margin(SPIKES, 4), 1.0).at(0.5).sample()
    assert sample.keys() == {'blur', 'meta', 'rng', 'instant', 'spikes'}
    np.testing.assert_array_equal(sample['spikes'], SPIKES)
