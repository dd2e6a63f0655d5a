import numpy as np
import pytest

from vrtspike.datasets import IntegrateAndFire
from vrtspike.datasets.color import encode_srgb_uint8
from vrtspike.datasets.sdm import INTERVALS, LEAST_STEPS, half_widths, rate_ratio, sdm
from vrtspike.datasets.simulation.demo import RGB_PER_SPIKE_PIXEL
from vrtspike.errors import ConfigError
from vrtspike.metrics import psnr

STEPS = 64


def exposure(threshold=1.0, ratio=RGB_PER_SPIKE_PIXEL, steps=STEPS, side=64):
    """Return blurred, sharp and spikes of coloured stripes that move by half of their period."""
    x = np.arange(side)

    def light(time):
        gray = 0.45 + 0.35 * np.sin(2 * np.pi * (x / 32 - time / 2))
        return np.broadcast_to(gray[:, None] * [1.0, 0.8, 0.6], (side, side, 3)).astype(np.float32)

    camera = IntegrateAndFire(side // ratio, side // ratio, threshold, np.random.default_rng(0))
    instants = [light((step + 0.5) / steps) for step in range(steps)]
    seen = [each.reshape(side // ratio, ratio, side // ratio, ratio, 3).mean((1, 3, 4)) for each in instants]
    return encode_srgb_uint8(np.mean(instants, 0)), encode_srgb_uint8(light(0.5)), camera.run(np.array(seen))


def gain(blur, sharp, spikes):
    return psnr(sdm(blur, spikes), sharp) - psnr(blur, sharp)


@pytest.mark.parametrize('ratio', [1, 2, 4])
def test_it_gains_at_every_resolution_of_the_spikes(ratio):
    assert gain(*exposure(ratio=ratio)) > 6


@pytest.mark.parametrize(('steps', 'threshold'), [(33, 1.0), (65, 2.0), (137, 4.0)])
def test_it_gains_at_every_exposure_and_threshold(steps, threshold):
    assert gain(*exposure(threshold, steps=steps)) > 3


@pytest.mark.parametrize('threshold', [1.0, 2.0, 4.0])
def test_light_that_does_not_change_leaves_the_frame_nearly_as_it_is(threshold):
    spikes = IntegrateAndFire(16, 16, threshold, np.random.default_rng(0)).run(np.full((STEPS, 16, 16), 0.3))
    blur = np.full((32, 32, 3), (200, 120, 40), np.uint8)
    assert psnr(sdm(blur, spikes), blur) > 40


def test_without_spikes_the_frame_stays_as_it_is():
    blur = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(sdm(blur, np.zeros((STEPS, 8, 8), np.uint8)), blur)


def test_encoded_light_scales_the_values_of_the_frame():
    spikes = np.zeros((STEPS, 8, 8), np.uint8)
    spikes[STEPS // 2 - 16 : STEPS // 2 + 16] = 1  # twice the mean rate in the middle half of the exposure
    ratio = rate_ratio(spikes)[4, 4]
    assert ratio == pytest.approx(2, abs=0.03)
    blur = np.full((16, 16, 3), 50, np.uint8)
    assert (sdm(blur, spikes, 'encoded') == round(50 * ratio)).all()
    assert (sdm(blur, spikes, 'linear') < round(50 * ratio)).all()
    with pytest.raises(ConfigError, match='did you mean'):
        sdm(blur, spikes, 'encodet')


def test_dark_pixels_get_long_windows():
    rates = np.full((3, 8, 8), [[[1.0]], [[0.05]], [[0.0]]], np.float32)
    widths = [half_widths(rate, STEPS)[4, 4] for rate in rates]
    assert widths == pytest.approx([LEAST_STEPS, INTERVALS / 0.05, INTERVALS * STEPS], rel=1e-4)


def test_reversed_time_and_reflections_give_the_same_estimate():
    blur, _, spikes = exposure()
    whole = sdm(blur, spikes)
    np.testing.assert_array_equal(sdm(blur, spikes[::-1]), whole)
    flipped = sdm(np.ascontiguousarray(blur[:, ::-1]), np.ascontiguousarray(spikes[..., ::-1]))
    assert np.abs(flipped[:, ::-1].astype(int) - whole).max() <= 1
