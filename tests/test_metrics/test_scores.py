import sys
import types

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.metrics.lpips import load_lpips
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
    scores = frame_scores(image, image, sharp, {'tfp': gray, 'tfi': gray})
    assert scores['tfp_psnr_db'] == scores['tfi_psnr_db'] < 20


def test_means_leave_out_what_is_no_score():
    assert mean_scores([{'clip': 'a', 'frames': 1, 'ssim': 0.5}, {'clip': 'b', 'frames': 2, 'ssim': 1.0}]) == {
        'ssim': 0.75
    }


class FakeLPIPS(torch.nn.Module):
    """What the package has: a backbone in slices, whose layers are numbered as torchvision numbers them."""

    def __init__(self, net, pnet_rand, verbose):
        super().__init__()
        assert (net, pnet_rand, verbose) == ('alex', True, False)  # nothing is downloaded
        self.net = torch.nn.ModuleDict({'slice1': torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1))})

    def forward(self, image, reference):
        assert -1 <= image.min() <= image.max() <= 1
        return (self.net['slice1'](image) - self.net['slice1'](reference)).abs().mean()


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType('lpips')
    module.LPIPS = FakeLPIPS
    monkeypatch.setitem(sys.modules, 'lpips', module)


def test_lpips_takes_its_backbone_from_a_file(package, tmp_path):
    image, sharp = pairs()['real']
    weights = {
        'features.0.weight': torch.ones(2, 3, 1, 1),
        'features.0.bias': torch.zeros(2),
        'classifier.1.bias': torch.zeros(9),
    }
    torch.save(weights, tmp_path / 'alexnet.pth')
    distance = load_lpips(tmp_path / 'alexnet.pth')
    assert distance(sharp, sharp) == 0
    expected = np.abs((image / 127.5 - sharp / 127.5).sum(axis=2)).mean()
    assert distance(image, sharp) == pytest.approx(expected, rel=1e-5)
    assert frame_scores(image, sharp, sharp, perceptual=distance)['lpips'] == pytest.approx(expected, rel=1e-5)


def test_lpips_refuses_other_weights(package, tmp_path):
    torch.save({'features.0.weight': torch.ones(2, 3, 3, 3)}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r'features\.0\.weight is missing or of another shape'):
        load_lpips(tmp_path / 'other.pth')


def test_without_the_package_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'lpips', None)
    with pytest.raises(ConfigError, match='pip install lpips'):
        load_lpips(tmp_path / 'alexnet.pth')
