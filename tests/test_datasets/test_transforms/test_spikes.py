import numpy as np

from vrtspike.datasets.representations import Voxel, tfp
from vrtspike.datasets.transforms import BinSpikes, DropSpikes


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
