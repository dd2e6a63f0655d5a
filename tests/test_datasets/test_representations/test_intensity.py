import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vrtspike.datasets.representations.counts import TFP, RawWindow, Voxel
from vrtspike.datasets.representations.intensity import TFI, TFSTP
from vrtspike.datasets.simulation.camera import IntegrateAndFire
from vrtspike.errors import ConfigError
from vrtspike.registry import REPRESENTATIONS

STEPS_AND_BINS = {'steps': st.integers(1, 40), 'bins': st.integers(1, 9), 'seed': st.integers(0, 9)}


def random_spikes(steps, seed):
    rng = np.random.default_rng(seed)
    return (rng.random((steps, 2, 3)) < rng.random((1, 2, 3))).astype(np.uint8)


def each_pixel(spikes):
    return ((place, spikes[(slice(None), *place)].tolist()) for place in np.ndindex(spikes.shape[1:]))


def tfi_by_definition(spikes, bins):
    """Find for every pixel and instant the two spikes around it, one by one."""
    steps = len(spikes)
    rates = np.zeros((bins, *spikes.shape[1:]))
    for place, train in each_pixel(spikes):
        for k in range(bins):
            instant = (k + 0.5) * steps / bins
            before = [s for s in range(steps) if train[s] and s + 0.5 <= instant]
            after = [s for s in range(steps) if train[s] and s + 0.5 > instant]
            if before or after:
                rates[(k, *place)] = 1 / (min(after, default=steps) - max(before, default=-1))
    return rates


def tfstp_by_definition(spikes, bins, utilisation, recovery, facilitation):
    """Run the synapse of every pixel from spike to spike."""
    steps = len(spikes)
    rates = np.zeros((bins, *spikes.shape[1:]))
    for place, train in each_pixel(spikes):
        for k in range(bins):
            times = [s for s in range(steps) if train[s] and s + 0.5 <= (k + 0.5) * steps / bins]
            resources, release = 1.0, utilisation
            for earlier, later in itertools.pairwise(times):
                left = 1 - resources * (1 - release)
                resources = 1 - left * math.exp(-(later - earlier) / recovery)
                release = utilisation + release * (1 - utilisation) * math.exp(-(later - earlier) / facilitation)
            if len(times) > 1:
                interval = recovery * math.log((1 - resources * (1 - release)) / max(1 - resources, 1e-6))
                rates[(k, *place)] = 1 / max(interval, 1)
    return rates


@given(**STEPS_AND_BINS)
def test_tfi_follows_its_definition(steps, bins, seed):
    spikes = random_spikes(steps, seed)
    found = TFI(bins)(spikes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tfi_by_definition(spikes, bins), rtol=1e-6)


@given(**STEPS_AND_BINS)
def test_tfstp_follows_its_definition(steps, bins, seed):
    spikes = random_spikes(steps, seed)
    found = TFSTP(bins, recovery=8.0, facilitation=5.0)(spikes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tfstp_by_definition(spikes, bins, 0.15, 8.0, 5.0), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize('period', [2, 5, 9, 14])
def test_a_constant_rate_is_found_exactly(period):
    spikes = np.zeros((30 * period, 1, 1), np.uint8)
    spikes[::period] = 1
    np.testing.assert_allclose(TFI()(spikes), 1 / period, rtol=1e-6)
    np.testing.assert_allclose(TFSTP()(spikes), 1 / period, rtol=2e-2)
    np.testing.assert_allclose(TFP()(spikes), 1 / period, rtol=1e-6)


def test_a_pixel_without_spikes_is_dark():
    dark = np.zeros((12, 2, 2), np.uint8)
    for representation in (TFI(3), TFSTP(3), TFP(3, window=4)):
        assert not representation(dark).any()


@pytest.mark.parametrize('threshold', [1.0, 2.0, 4.0])
def test_times_the_threshold_it_is_the_light(threshold):
    light = np.linspace(0.2, 0.9, 64, dtype=np.float32).reshape(8, 8)
    spikes = IntegrateAndFire(8, 8, threshold, np.random.default_rng(0)).run(np.tile(light, (400, 1, 1)))
    np.testing.assert_allclose(TFP()(spikes)[0] * threshold, light, atol=threshold / 400 + 1e-4)
    # A single interval is off by up to a step; plasticity averages over several.
    interval = threshold / light
    assert (np.abs(1 / TFI()(spikes)[0] - interval) <= 1).all()
    assert np.abs(TFSTP()(spikes)[0] * threshold / light - 1).mean() < 0.1


@pytest.mark.parametrize(
    'config',
    [
        {'type': 'Voxel', 'bins': 5},
        {'type': 'TFP', 'bins': 3, 'window': 4},
        {'type': 'TFP'},
        {'type': 'TFI', 'bins': 4},
        {'type': 'TFSTP', 'bins': 4},
        {'type': 'RawWindow', 'length': 7},
    ],
    ids=lambda config: '-'.join(map(str, config.values())),
)
def test_numpy_and_torch_agree(config):
    representation = REPRESENTATIONS.build(config)
    spikes = random_spikes(12, seed=3)
    expected = representation(spikes)
    found = representation(torch.from_numpy(spikes))
    assert isinstance(expected, np.ndarray)
    assert expected.dtype == np.float32
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_raw_window_is_centred():
    spikes = np.eye(9, dtype=np.uint8)[:, :, None]
    np.testing.assert_array_equal(RawWindow(3)(spikes), spikes[3:6])
    np.testing.assert_array_equal(RawWindow(3)(spikes[:8]), spikes[3:6])
    np.testing.assert_array_equal(RawWindow(9)(spikes), spikes)


@given(steps=st.integers(1, 30), bins=st.integers(1, 40), window=st.integers(1, 40))
def test_playback_windows_hold_the_steps_nearest_to_their_instant(steps, bins, window):
    spikes = random_spikes(steps, 1)
    for k, rate in enumerate(TFP(bins, window)(spikes)):
        instant = (k + 0.5) * steps / bins
        start = math.ceil(instant - window / 2)
        chosen = [s for s in range(start, start + window) if 0 <= s < steps] or [min(max(start, 0), steps - 1)]
        np.testing.assert_allclose(rate, spikes[chosen].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize('seed', range(3))
def test_symmetric_representations_reverse_with_time(seed):
    spikes = random_spikes(12, seed)
    for representation in (Voxel(5), TFP(3, window=4), TFI(2), RawWindow(11)):
        if isinstance(representation, RawWindow):
            spikes = random_spikes(11, seed)
        found = representation(spikes[::-1].copy())
        np.testing.assert_allclose(found, representation(spikes)[::-1], atol=1e-6)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: TFI(0), 'TFI: bins=0'),
        (lambda: TFP(1, window=0), 'TFP: window=0'),
        (lambda: TFSTP(utilisation=1.0), 'utilisation=1.0'),
        (lambda: RawWindow(4), 'RawWindow got length=4, expected an odd'),
    ],
)
def test_bad_arguments_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
