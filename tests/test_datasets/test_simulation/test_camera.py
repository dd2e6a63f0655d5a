import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.datasets.representations.counts import tfp
from vrtspike.datasets.simulation.camera import IntegrateAndFire
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


@given(intensity=st.floats(0, 1, width=32), threshold=st.sampled_from([1.0, 1.5, 2.0, 4.0]), seed=st.integers(0, 3))
def test_a_static_scene_is_played_back_within_the_counting_error(intensity, threshold, seed):
    steps = 120
    spikes = camera(threshold, seed).run(np.full((steps, 4, 8), intensity, np.float32))
    assert np.abs(tfp(spikes, threshold) - intensity).max() <= threshold / steps + 1e-4


def counts(reset, light, threshold=1.0, steps=400):
    pixels = IntegrateAndFire(4, 8, threshold, np.random.default_rng(0), reset=reset)
    return pixels.run(np.full((steps, 4, 8), light, np.float32)).sum(axis=0) / steps


def test_reset_to_zero_loses_what_exceeds_the_threshold():
    np.testing.assert_allclose(counts('subtract', 0.6), 0.6, atol=0.01)
    np.testing.assert_allclose(counts('modulo', 0.6), 0.6, atol=0.01)
    np.testing.assert_allclose(counts('zero', 0.6), 0.5, atol=0.01)


def test_only_subtraction_remembers_more_than_a_threshold():
    light = np.zeros((20, 4, 8), np.float32)
    light[:5] = 3
    afterwards = {
        reset: IntegrateAndFire(4, 8, 1.0, np.random.default_rng(0), reset=reset).run(light)[5:].sum(axis=0).tolist()
        for reset in ('subtract', 'zero', 'modulo')
    }
    assert np.min(afterwards['subtract']) >= 10
    assert np.max(afterwards['zero']) == np.max(afterwards['modulo']) == 0


def test_noise_adds_false_spikes_and_leaves_the_charge_alone():
    quiet, noisy = (IntegrateAndFire(40, 50, 2.0, np.random.default_rng(0), noise=noise) for noise in (0.0, 0.1))
    light = np.full((50, 40, 50), 0.2, np.float32)
    true, found = quiet.run(light), noisy.run(light)
    assert (found >= true).all()
    np.testing.assert_allclose(found.mean(), 0.1 + 0.9 * 0.1, atol=0.01)
    np.testing.assert_array_equal(quiet.charge, noisy.charge)


@pytest.mark.parametrize('dead_time', [1, 3])
def test_a_pixel_is_blind_after_a_spike(dead_time):
    pixels = IntegrateAndFire(4, 8, 1.0, np.random.default_rng(0), reset='zero', dead_time=dead_time)
    spikes = pixels.run(np.ones((60, 4, 8), np.float32))
    np.testing.assert_array_equal(spikes.sum(axis=0), -(-60 // (1 + dead_time)))
    gaps = np.diff(np.flatnonzero(spikes[:, 0, 0]))
    assert set(gaps.tolist()) == {1 + dead_time}


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'reset': 'half'}, "reset='half'"), ({'noise': 1.0}, 'noise=1.0'), ({'dead_time': -1}, 'dead_time=-1')],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        IntegrateAndFire(4, 8, 1.0, np.random.default_rng(0), **options)
