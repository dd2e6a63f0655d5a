import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from vrtspike.errors import ConfigError, DataError
from vrtspike.metrics.no_reference import load_no_reference, load_piqe
from vrtspike.metrics.scores import frame_scores


def test_blur_and_noise_raise_piqe():
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


def test_pypiqe_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pypiqe', None)
    with pytest.raises(ConfigError, match='PIQE needs the package pypiqe'):
        load_no_reference(['piqe'])


@pytest.mark.parametrize('name', ['niqe', 'brisque'])
def test_pyiqa_scores_an_rgb_image_in_0_to_1(monkeypatch, name):
    seen = {}

    def create_metric(metric, device):
        seen.update(metric=metric, device=device)
        return lambda batch: seen.update(batch=batch) or batch.mean().reshape(1, 1)  # pyiqa returns one value per image

    monkeypatch.setitem(sys.modules, 'pyiqa', SimpleNamespace(create_metric=create_metric))
    image = np.zeros((4, 6, 3), np.uint8)
    image[..., 0] = 255
    assert load_no_reference([name])[name](image) == pytest.approx(1 / 3)
    assert (seen['metric'], seen['device'], seen['batch'].shape) == (name, 'cpu', (1, 3, 4, 6))
    assert seen['batch'][0].amax((1, 2)).tolist() == [1, 0, 0]


def test_pyiqa_is_named_if_it_or_its_weights_are_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyiqa', None)
    with pytest.raises(ConfigError, match='NIQE needs the package pyiqa'):
        load_no_reference(['niqe'])

    def create_metric(metric, device):
        raise OSError('no route to host')

    monkeypatch.setitem(sys.modules, 'pyiqa', SimpleNamespace(create_metric=create_metric))
    with pytest.raises(ConfigError, match='cannot load BRISQUE, whose weights it downloads: no route to host'):
        load_no_reference(['brisque'])


@pytest.mark.parametrize(
    ('metric', 'message'),
    [
        (lambda batch: batch.mean() * np.nan, 'returned nan as NIQE of a frame of 4 x 6 pixels'),
        (lambda batch: batch.reshape(0), 'cannot score NIQE of a frame of 4 x 6 pixels: shape'),
    ],
)
def test_frames_that_pyiqa_cannot_score_are_named(monkeypatch, metric, message):
    monkeypatch.setitem(sys.modules, 'pyiqa', SimpleNamespace(create_metric=lambda *_, **__: metric))
    with pytest.raises(DataError, match=message):
        load_no_reference(['niqe'])['niqe'](np.zeros((4, 6, 3), np.uint8))


def test_without_a_target_they_are_the_only_scores():
    image = np.full((32, 32, 3), 7, np.uint8)
    first_value = {'piqe': lambda each: float(each[0, 0, 0])}
    scores = frame_scores(image, image + 1, None, {'tfp': image[..., 0]}, no_reference=first_value)
    assert scores == {'piqe': 7.0, 'blur_piqe': 8.0}
    both = frame_scores(image, image + 1, image, no_reference=first_value)
    assert both['piqe'] == 7.0
    assert both['psnr_db'] == 100
