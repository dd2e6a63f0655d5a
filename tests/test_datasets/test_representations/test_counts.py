from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.datasets.representations.counts import Voxel, tfp
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import REPRESENTATIONS

STEPS_AND_BINS = {'steps': st.integers(1, 100), 'bins': st.integers(1, 40), 'seed': st.integers(0, 9)}


def voxel_by_definition(spikes, bins):
    """Add every step to every bin by their overlap in time, one by one."""
    steps = len(spikes)
    rates = np.zeros((bins, *spikes.shape[1:]))
    for k in range(bins):
        start, end = Fraction(k * steps, bins), Fraction((k + 1) * steps, bins)
        for step in range(steps):
            overlap = min(end, step + 1) - max(start, step)
            rates[k] += float(max(overlap, 0) / (end - start)) * spikes[step]
    return rates


def random_spikes(steps, seed):
    return np.random.default_rng(seed).integers(0, 2, (steps, 2, 3)).astype(np.uint8)


@given(**STEPS_AND_BINS)
def test_voxel_follows_its_definition(steps, bins, seed):
    spikes = random_spikes(steps, seed)
    voxel = Voxel(bins)(spikes)
    assert voxel.dtype == np.float32
    np.testing.assert_allclose(voxel, voxel_by_definition(spikes, bins), atol=2e-5)


@given(**STEPS_AND_BINS)
def test_voxel_conserves_counts_and_its_mean_is_the_rate(steps, bins, seed):
    spikes = random_spikes(steps, seed)
    np.testing.assert_allclose(Voxel(bins)(spikes).mean(axis=0), spikes.mean(axis=0), atol=1e-5)


@given(steps=STEPS_AND_BINS['steps'], bins=STEPS_AND_BINS['bins'])
def test_no_bin_is_empty(steps, bins):
    np.testing.assert_allclose(Voxel(bins)(np.ones((steps, 1, 1), np.uint8)), 1, atol=2e-5)


@given(**STEPS_AND_BINS)
def test_reversing_the_spikes_reverses_the_bins(steps, bins, seed):
    spikes = random_spikes(steps, seed)
    np.testing.assert_allclose(Voxel(bins)(spikes[::-1]), Voxel(bins)(spikes)[::-1], atol=2e-5)


def test_voxel_is_registered_with_its_default_bins():
    assert REPRESENTATIONS.build({'type': 'Voxel'}).bins == 32


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigError, match='bins=0'):
        Voxel(0)
    with pytest.raises(DataError, match=r'\(0, 2, 2\)'):
        Voxel(2)(np.zeros((0, 2, 2), np.uint8))


def test_tfp_is_the_mean_times_the_threshold():
    spikes = np.zeros((2, 4, 1, 1), np.uint8)
    spikes[0, :3] = 1
    np.testing.assert_allclose(tfp(spikes, 2.0)[:, 0, 0], [1.5, 0])
