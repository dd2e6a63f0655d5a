import numpy as np
import pytest

from vrtspike.datasets import IntegrateAndFire, PackedSpikes, write_spike_dat
from vrtspike.datasets.representations.counts import Voxel, tfp
from vrtspike.datasets.sources.sequence import SpikeWindow
from vrtspike.datasets.transforms import (
    BinSpikes,
    DropSpikes,
    PairedRandomCrop,
    PairedRandomFlip,
    RandomThreshold,
    ResizeSpikes,
)
from vrtspike.datasets.transforms.spikes import with_threshold
from vrtspike.errors import ConfigError, DataError


def sample(threshold=2.0):
    spikes = np.random.default_rng(0).integers(0, 2, (3, 10, 2, 4)).astype(np.uint8)
    return {'spikes': spikes, 'meta': {'threshold': threshold}}


def test_bins_hold_the_rate_times_the_threshold():
    binned = BinSpikes({'type': 'Voxel', 'bins': 4})(sample())['spikes']
    assert binned.shape == (3, 4, 2, 4)
    assert binned.dtype == np.float32
    np.testing.assert_allclose(binned[1], 2 * Voxel(4)(sample()['spikes'][1]))


def test_the_mean_over_bins_is_the_tfp_estimate():
    binned = BinSpikes()(sample())['spikes']
    assert binned.shape[1] == 32
    np.testing.assert_allclose(binned.mean(axis=1), tfp(sample()['spikes'], 2.0), atol=1e-5)


def test_a_representation_may_be_given_built():
    assert BinSpikes(Voxel(3))(sample())['spikes'].shape[1] == 3


def test_dropped_spikes_are_zero_before_and_after_binning():
    raw = DropSpikes()(sample())
    assert raw['spikes'].dtype == np.uint8
    assert not raw['spikes'].any()
    binned = DropSpikes()(BinSpikes()(sample()))
    assert binned['spikes'].shape == (3, 32, 2, 4)
    assert not binned['spikes'].any()
    assert not BinSpikes()(raw)['spikes'].any()


def raw_sample(threshold=1.0, light=0.5, seed=0):
    camera = IntegrateAndFire(8, 16, threshold, np.random.default_rng(1))
    spikes = camera.run(np.full((400, 8, 16), light, np.float32)).reshape(2, 200, 8, 16)
    return {'spikes': spikes, 'meta': {'threshold': threshold, 'name': 'x'}, 'rng': np.random.default_rng(seed)}


@pytest.mark.parametrize('factor', [1.0, 1.7, 2.0, 4.0])
def test_a_raised_threshold_keeps_the_light_in_fewer_spikes(factor):
    raised = RandomThreshold((factor, factor))(raw_sample())
    assert raised['meta'] == {'threshold': pytest.approx(factor), 'name': 'x'}
    assert raised['spikes'].dtype == np.uint8
    np.testing.assert_allclose(raised['spikes'].mean(), 0.5 / factor, rtol=0.02)
    np.testing.assert_allclose(BinSpikes()(raised)['spikes'].mean(axis=(0, 1)), 0.5, atol=factor / 200 + 1e-3)


def test_a_raised_threshold_is_that_of_a_camera_which_has_it():
    """Thinning by n keeps every n-th spike, as an integrate-and-fire pixel does whose threshold is n times as high."""
    spikes = raw_sample(light=0.9)['spikes'][0]
    thinned = with_threshold(spikes, 3.0, np.random.default_rng(0))
    kept = np.diff(np.cumsum(spikes, axis=0)[:, 0, 0][np.flatnonzero(thinned[:, 0, 0])])
    assert set(kept.tolist()) == {3}


def test_a_factor_of_one_changes_nothing():
    sample = raw_sample()
    np.testing.assert_array_equal(RandomThreshold((1, 1))(sample)['spikes'], sample['spikes'])


def test_factors_follow_the_generator_and_fill_their_range():
    found = [RandomThreshold((1, 4))(raw_sample(seed=seed))['meta']['threshold'] for seed in range(60)]
    assert RandomThreshold((1, 4))(raw_sample(seed=3))['meta']['threshold'] == found[3]
    assert 1 <= min(found) < 1.3
    assert 3 < max(found) <= 4
    assert 1.7 < np.median(found) < 2.4


def test_the_meta_of_other_samples_stays():
    sample = raw_sample()
    RandomThreshold((2, 2))(sample)
    assert sample['meta']['threshold'] == 1.0


@pytest.mark.parametrize('factors', [(0.5, 2), (3, 2), (1,)])
def test_factors_below_one_cannot_be_had(factors):
    with pytest.raises(ConfigError, match='RandomThreshold got factors='):
        RandomThreshold(factors)


def test_binned_spikes_cannot_be_thinned():
    with pytest.raises(ConfigError, match='put it before BinSpikes'):
        RandomThreshold()(BinSpikes()(raw_sample()))


@pytest.mark.parametrize('transform', [RandomThreshold((2, 2)), BinSpikes(), DropSpikes(), PairedRandomFlip()])
def test_transforms_take_spikes_that_are_still_packed(tmp_path, transform):
    spikes = raw_sample()['spikes']
    for i, exposure in enumerate(spikes):
        write_spike_dat(tmp_path / f'{i}.dat', exposure)
    windows = [SpikeWindow(tmp_path / f'{i}.dat', 0, 200) for i in range(2)]
    frames = {kind: np.zeros((2, 16, 16, 3), np.uint8) for kind in ('blur', 'sharp')}
    packed = PackedSpikes(windows, (8, 16), (0, 8), (0, 16))
    found, expected = (transform({**raw_sample(), **frames, 'spikes': each})['spikes'] for each in (packed, spikes))
    np.testing.assert_array_equal(np.asarray(found), expected)


class TestResizeSpikes:
    """Spikes of 4 x 6 pixels beside frames of other sizes become one spike pixel per 2 x 2 RGB pixels."""

    @staticmethod
    def resized(ratio, spikes):
        height, width = spikes.shape[-2:]
        blur = np.zeros((len(spikes), int(height * ratio), int(width * ratio), 3), np.uint8)
        return ResizeSpikes(2)({'blur': blur, 'spikes': spikes})['spikes']

    @pytest.mark.parametrize(('ratio', 'size'), [(1, (2, 3)), (2, (4, 6)), (4, (8, 12))])
    def test_size(self, ratio, size):
        spikes = np.random.default_rng(0).random((3, 5, 4, 6), dtype=np.float32)
        resized = self.resized(ratio, spikes)
        assert resized.shape == (3, 5, *size)
        assert resized.dtype == np.float32
        np.testing.assert_allclose(self.resized(ratio, np.full_like(spikes, 0.25)), 0.25, rtol=1e-6)

    def test_smaller_ones_are_means_of_areas(self):
        spikes = np.random.default_rng(0).random((1, 2, 4, 6), dtype=np.float32)
        expected = spikes.reshape(1, 2, 2, 2, 3, 2).mean(axis=(3, 5))
        np.testing.assert_allclose(self.resized(1, spikes), expected, rtol=1e-6)

    def test_those_of_the_size_stay(self):
        spikes = np.random.default_rng(0).random((1, 2, 4, 6), dtype=np.float32)
        assert self.resized(2, spikes) is spikes

    def test_refused(self):
        with pytest.raises(DataError, match='frames of 3 x 5 pixels have no whole spike pixels of 2 x 2'):
            self.resized(1, np.zeros((1, 2, 3, 5), np.float32))
        with pytest.raises(ConfigError, match='raw spikes'):
            self.resized(2, np.zeros((1, 2, 4, 6), np.uint8))
        with pytest.raises(ConfigError, match='cannot resize the raw steps of flow'):
            ResizeSpikes()(BinSpikes(flow_steps=25)(long_sample()))


def long_sample(steps=40):
    spikes = np.random.default_rng(0).integers(0, 2, (2, steps, 4, 8)).astype(np.uint8)
    return {
        'spikes': spikes,
        'blur': np.zeros((2, 8, 16, 3), np.uint8),
        'meta': {'threshold': 2.0},
        'rng': np.random.default_rng(0),
    }


def test_flow_sees_the_raw_steps_around_the_middle():
    given = long_sample()
    binned = BinSpikes(flow_steps=25)(given)
    assert binned['flow_spikes'].dtype == np.uint8
    np.testing.assert_array_equal(binned['flow_spikes'], given['spikes'][:, 7:32])
    np.testing.assert_array_equal(binned['spikes'], BinSpikes()(given)['spikes'])
    assert 'flow_spikes' not in BinSpikes()(given)
    with pytest.raises(ConfigError, match='flow_steps=25, but an exposure has 24 steps'):
        BinSpikes(flow_steps=25)(long_sample(24))


def test_the_window_moves_with_the_instant_and_unknown_steps_have_no_spikes():
    given = long_sample()
    spikes = np.pad(given['spikes'], [(0, 0), (10, 10), (0, 0), (0, 0)])
    known = np.pad(np.ones((2, 40), bool), [(0, 0), (10, 10)])
    at = {'spikes': spikes, 'margin': 10, 'known': known, 'instant': np.full(2, 0.25, np.float32)}
    binned = BinSpikes(flow_steps=25)(given | at)
    np.testing.assert_array_equal(binned['flow_spikes'], spikes[:, 7:32])
    assert not binned['flow_spikes'][:, :3].any()


@pytest.mark.parametrize(
    'transform',
    [PairedRandomCrop((4, 8)), PairedRandomFlip(1, 1, 0, 1), DropSpikes()],
    ids=['crop', 'flip', 'drop'],
)
def test_what_flow_sees_is_changed_with_the_spikes(transform):
    """Of 25 steps, the 25 around the middle are all, so that both orders must agree."""
    keep = BinSpikes(flow_steps=25)
    first, last = keep(transform(long_sample(25))), transform(keep(long_sample(25)))
    np.testing.assert_array_equal(first['flow_spikes'], last['flow_spikes'])
