import numpy as np
import pytest
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vrtspike.metrics.scores import frame_scores, mean_scores, video_luma

SSIM = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)


def pairs():
    rng = np.random.default_rng(0)
    photograph = astronaut()[100:164, 100:180]
    noisy = np.clip(photograph + rng.normal(0, 9, photograph.shape), 0, 255).astype(np.uint8)
    return {'real': (noisy, photograph), 'random': tuple(rng.integers(0, 256, (2, 40, 50, 3), dtype=np.uint8))}


def y_of(image):
    """The Y of BT.601 as its definition has it, rounded."""
    return np.rint(16 + (image @ [65.481, 128.553, 24.966]) / 255).astype(np.uint8)


@pytest.mark.parametrize('kind', ['real', 'random'])
def test_scores_are_those_of_scikit_image(kind):
    image, sharp = pairs()[kind]
    scores = frame_scores(image, sharp[::-1], sharp)
    assert scores['psnr_db'] == pytest.approx(peak_signal_noise_ratio(sharp, image))
    assert scores['ssim'] == pytest.approx(structural_similarity(sharp, image, channel_axis=2, **SSIM))
    assert scores['blur_psnr_db'] == pytest.approx(peak_signal_noise_ratio(sharp, sharp[::-1]))
    assert np.abs(video_luma(image).astype(int) - y_of(image)).max() <= 1
    assert scores['psnr_y_db'] == pytest.approx(peak_signal_noise_ratio(y_of(sharp), y_of(image)), abs=0.02)
    assert scores['ssim_y'] == pytest.approx(structural_similarity(y_of(sharp), y_of(image), **SSIM), abs=1e-3)


def test_playbacks_are_scored_by_their_names():
    image, sharp = pairs()['real']
    gray = np.full(sharp.shape[:2], 90, np.uint8)
    scores = frame_scores(image, image, sharp, {'tfp': gray, 'tfi': gray, 'sdm': image})
    assert scores['tfp_psnr_db'] == scores['tfi_psnr_db'] < 20
    assert scores['sdm_psnr_db'] == scores['psnr_db']


def test_means_leave_out_what_is_no_score():
    assert mean_scores([{'clip': 'a', 'frames': 1, 'ssim': 0.5}, {'clip': 'b', 'frames': 2, 'ssim': 1.0}]) == {
        'ssim': 0.75
    }


def test_a_perceptual_distance_is_one_more_score():
    image, sharp = pairs()['real']
    scores = frame_scores(image, sharp, sharp, perceptual=lambda one, other: float((one != other).any()))
    assert (scores['lpips'], scores['blur_lpips']) == (1.0, 0.0)
