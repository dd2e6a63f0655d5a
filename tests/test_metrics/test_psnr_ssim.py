import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.filters import gaussian
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vrtspike.errors import DataError
from vrtspike.metrics import psnr, ssim


def random_pair(seed, size=(24, 32, 3)):
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, size, np.uint8)
    noise = rng.integers(-20, 21, size)
    return np.clip(reference + noise, 0, 255).astype(np.uint8), reference


def photograph_pair():
    sharp = data.astronaut()[100:228, 150:310]
    return np.round(gaussian(sharp, sigma=2, channel_axis=2, preserve_range=True)).astype(np.uint8), sharp


def published_ssim(image, reference):
    """SSIM written out from the paper's formulae for one channel, the window applied pixel by pixel."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    x = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (11, 11))
    y = np.lib.stride_tricks.sliding_window_view(reference.astype(np.float64), (11, 11))
    mean_x, mean_y = ((v * window).sum((-1, -2)) for v in (x, y))
    var_x, var_y = (((v - m[..., None, None]) ** 2 * window).sum((-1, -2)) for v, m in ((x, mean_x), (y, mean_y)))
    covariance = ((x - mean_x[..., None, None]) * (y - mean_y[..., None, None]) * window).sum((-1, -2))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return np.mean(similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))


@pytest.mark.parametrize('pair', [random_pair(0), random_pair(1), photograph_pair()], ids=['noise', 'noise2', 'photo'])
def test_agrees_with_scikit_image(pair):
    expected = structural_similarity(
        *pair, gaussian_weights=True, use_sample_covariance=False, data_range=255, channel_axis=2
    )
    assert ssim(*pair) == pytest.approx(expected, abs=1e-4)
    assert psnr(*pair) == pytest.approx(peak_signal_noise_ratio(pair[1], pair[0], data_range=255), abs=1e-4)


def test_ssim_is_the_published_one():
    image, reference = (frame[:40, :40] for frame in photograph_pair())
    expected = np.mean([published_ssim(image[..., c], reference[..., c]) for c in range(3)])
    assert ssim(image, reference) == pytest.approx(expected, abs=1e-6)
    assert ssim(image[..., 0], reference[..., 0]) == pytest.approx(
        published_ssim(image[..., 0], reference[..., 0]), abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_symmetric_and_bounded(seed):
    image, reference = random_pair(seed, (16, 12, 3))
    assert psnr(image, reference) == pytest.approx(psnr(reference, image))
    assert ssim(image, reference) == pytest.approx(ssim(reference, image))
    assert ssim(image, reference) < 1


@given(st.integers(1, 255))
def test_psnr_of_a_constant_error(error):
    black = np.zeros((2, 3, 3), np.uint8)
    assert psnr(black + np.uint8(error), black) == pytest.approx(20 * math.log10(255 / error))


def test_every_pixel_counts_up_to_the_border():
    image, black = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    image[0, 0] = 255
    assert psnr(image, black) == pytest.approx(10 * math.log10(32 * 32))


def test_equal_images():
    _, reference = random_pair(3)
    assert psnr(reference, reference) == math.inf
    assert ssim(reference, reference) == pytest.approx(1)


@pytest.mark.parametrize('measure', [psnr, ssim])
def test_refuses_what_is_not_a_pair_of_8_bit_images(measure):
    image, reference = random_pair(4)
    with pytest.raises(DataError, match=r'uint8.*float64'):
        measure(image / 255, reference)
    with pytest.raises(DataError, match=r'\(24, 31, 3\).*\(24, 32, 3\)'):
        measure(image[:, :31], reference)


def test_ssim_refuses_images_smaller_than_its_window():
    image, reference = random_pair(5, (11, 10, 3))
    with pytest.raises(DataError, match='at least 11x11 pixels, found 10x11'):
        ssim(image, reference)
