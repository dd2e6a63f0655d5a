import sys

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from vrtspike.errors import ConfigError
from vrtspike.metrics.piqe import load_piqe
from vrtspike.metrics.scores import frame_scores


def test_blur_and_noise_raise_it():
    pytest.importorskip('pypiqe')
    piqe, photograph = load_piqe(), astronaut()[:256, :256]
    noisy = np.clip(photograph + np.random.default_rng(0).normal(0, 25, photograph.shape), 0, 255).astype(np.uint8)
    found = [piqe(image) for image in (photograph, cv2.GaussianBlur(photograph, (0, 0), 1), noisy)]
    assert 0 <= found[0] < min(found[1:]) <= 100


def test_colour_is_scored_as_its_luma():
    pytest.importorskip('pypiqe')
    photograph = astronaut()[:128, :128]
    gray = cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)
    assert load_piqe()(photograph) == load_piqe()(gray[..., None].repeat(3, axis=-1))


def test_the_package_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pypiqe', None)
    with pytest.raises(ConfigError, match='PIQE needs the package pypiqe'):
        load_piqe()


def test_without_a_target_it_is_the_only_score():
    image = np.full((32, 32, 3), 7, np.uint8)
    scores = frame_scores(image, image + 1, None, {'tfp': image[..., 0]}, piqe=lambda each: float(each[0, 0, 0]))
    assert scores == {'piqe': 7.0, 'blur_piqe': 8.0}
    both = frame_scores(image, image + 1, image, piqe=lambda each: float(each[0, 0, 0]))
    assert both['piqe'] == 7.0
    assert both['psnr_db'] == 100
