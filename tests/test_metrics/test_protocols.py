"""The protocols against sums over windows in plain NumPy, and against what the projects' own code returned."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from skimage.data import astronaut

from vrtspike.errors import DataError
from vrtspike.metrics.protocols import PROTOCOLS
from vrtspike.metrics.psnr_ssim import ssim_of_signed_values
from vrtspike.metrics.scores import frame_scores


@pytest.fixture(scope='module')
def pair():
    photograph = astronaut()[100:164, 100:180]
    noise = np.random.default_rng(0).normal(0, 9, photograph.shape)
    return np.clip(photograph * 0.9 + noise, 0, 255).astype(np.uint8), photograph


def gaussian_window():
    distances = np.arange(-5, 6)
    line = np.exp(-(distances**2) / (2 * 1.5**2))
    return np.outer(line, line) / line.sum() ** 2


def ssim_by_definition(image, reference, window, value_range, sample=1.0):
    """SSIM of (H, W) images, one window after another, with weights ``window``; ``sample`` scales covariances."""
    size = window.shape
    one, other = (sliding_window_view(each.astype(np.float64), size) for each in (image, reference))
    mean_one, mean_other = ((each * window).sum((-2, -1)) for each in (one, other))
    variance_one = sample * ((one**2 * window).sum((-2, -1)) - mean_one**2)
    variance_other = sample * ((other**2 * window).sum((-2, -1)) - mean_other**2)
    covariance = sample * ((one * other * window).sum((-2, -1)) - mean_one * mean_other)
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    means = (2 * mean_one * mean_other + c1) / (mean_one**2 + mean_other**2 + c1)
    return (means * (2 * covariance + c2) / (variance_one + variance_other + c2)).mean()


def psnr_by_definition(image, reference):
    return 20 * np.log10(255) - 10 * np.log10(np.mean((image.astype(float) - reference) ** 2))


def luma_by_definition(image):
    return np.rint(image @ [0.299, 0.587, 0.114]).astype(np.uint8)


def scores(pair, name):
    image, sharp = pair
    return frame_scores(image, sharp, sharp, protocol=PROTOCOLS[name])


def test_published(pair):
    found = scores(pair, 'published')
    channels = [ssim_by_definition(*(each[..., c] for each in pair), gaussian_window(), 255) for c in range(3)]
    assert found['ssim'] == pytest.approx(np.mean(channels), abs=1e-9)
    assert found['psnr_db'] == pytest.approx(psnr_by_definition(*pair), abs=1e-9)


def test_ssdm_takes_uniform_windows_of_values_from_minus_one_to_one(pair):
    found = scores(pair, 'ssdm')
    uniform = np.full((7, 7), 1 / 49)
    signed = [each / 127.5 - 1 for each in pair]
    channels = [ssim_by_definition(*(each[..., c] for each in signed), uniform, 2, 49 / 48) for c in range(3)]
    assert found['ssim'] == pytest.approx(np.mean(channels), abs=1e-9)
    assert found['psnr_db'] == pytest.approx(psnr_by_definition(*pair), abs=1e-9)
    assert abs(found['ssim'] - scores(pair, 'published')['ssim']) > 0.01  # so that the choice matters


def test_spikezoo_scores_the_luma(pair):
    found = scores(pair, 'spikezoo')
    gray = [luma_by_definition(each) for each in pair]
    assert found['ssim'] == pytest.approx(ssim_by_definition(*gray, gaussian_window(), 255), abs=1e-4)
    assert found['psnr_db'] == pytest.approx(psnr_by_definition(*gray), abs=0.01)


@pytest.mark.parametrize(
    ('name', 'psnr_db', 'ssim'),
    [('ssdm', 22.0631680, 0.5107401013), ('spikezoo', 22.5456619, 0.7075845402)],
)
def test_scores_are_those_of_the_projects_themselves(pair, name, psnr_db, ssim):
    """What S-SDM's metric function, and pyiqa 0.1.16 that Spike-Zoo calls, returned for the same two images."""
    found = scores(pair, name)
    assert found['psnr_db'] == pytest.approx(psnr_db, abs=1e-4)
    assert found['ssim'] == pytest.approx(ssim, abs=1e-5)


def test_reconstructions_follow_the_protocol(pair):
    image, sharp = pair
    found = frame_scores(image, sharp, sharp, {'sdm': image}, protocol=PROTOCOLS['spikezoo'])
    assert (found['sdm_psnr_db'], found['sdm_ssim']) == (found['psnr_db'], found['ssim'])


def test_images_smaller_than_the_window_are_refused():
    small = np.zeros((6, 9, 3), np.uint8)
    with pytest.raises(DataError, match='SSIM needs at least 7x7 pixels, found 9x6'):
        ssim_of_signed_values(small, small)
