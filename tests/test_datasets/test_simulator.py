import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.datasets.simulator import IntegrateAndFire
from vrtspike.errors import ConfigError


def camera(threshold, seed=0, shape=(4, 8)):
    return IntegrateAndFire(*shape, threshold, np.random.default_rng(seed))


@given(intensity=st.floats(0, 1, width=32), threshold=st.floats(1, 5, width=32), seed=st.integers(0, 5))
def test_the_count_is_the_light_over_the_threshold_to_one_spike(intensity, threshold, seed):
    steps = 200
    spikes = camera(threshold, seed).run(np.full((steps, 4, 8), intensity, np.float32))
    counts = spikes.sum(axis=0, dtype=float)
    assert np.abs(counts - steps * intensity / threshold).max() <= 1 + 1e-3


def test_initial_charges_are_uniform_below_the_threshold():
    charge = camera(2.5, shape=(100, 100)).charge
    assert charge.min() >= 0
    assert charge.max() < 2.5
    np.testing.assert_allclose(np.quantile(charge, [0.25, 0.5, 0.75]), [0.625, 1.25, 1.875], atol=0.05)


def test_charge_carries_over_from_block_to_block():
    light = np.random.default_rng(1).random((30, 4, 8), dtype=np.float32)
    whole = camera(1.7).run(light)
    split = camera(1.7)
    np.testing.assert_array_equal(whole, np.concatenate([split.run(light[:7]), split.run(light[7:])]))


def test_light_above_the_threshold_fires_once_a_step():
    assert camera(1.0).run(np.full((5, 4, 8), 3, np.float32)).tolist() == np.ones((5, 4, 8), int).tolist()


def test_a_threshold_that_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match='threshold=0'):
        camera(0)
