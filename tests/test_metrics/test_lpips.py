import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch import nn

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.metrics.lpips import CHANNELS, alexnet_features, load_lpips


@pytest.fixture
def alexnet(tmp_path):
    """A file with random weights under torchvision's names."""
    torch.manual_seed(0)
    weights = {f'features.{name}': tensor for name, tensor in alexnet_features().state_dict().items()}
    torch.save(weights | {'classifier.1.bias': torch.zeros(9)}, tmp_path / 'alexnet.pth')
    return tmp_path / 'alexnet.pth'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that has only the weights of the linear layers."""
    folder = tmp_path / 'site' / 'lpips'
    (folder / 'weights' / 'v0.1').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise ImportError("it is not imported")')
    factors = {f'lin{i}.model.1.weight': torch.full((1, count, 1, 1), 0.5) for i, count in enumerate(CHANNELS)}
    torch.save(factors, folder / 'weights' / 'v0.1' / 'alex.pth')
    monkeypatch.delitem(sys.modules, 'lpips', raising=False)
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def images():
    photograph = astronaut()[100:164, 100:180]
    noise = np.random.default_rng(0).normal(0, 1, photograph.shape)
    return photograph, *(np.clip(photograph + sigma * noise, 0, 255).astype(np.uint8) for sigma in (5, 25))


def test_the_distance_grows_with_the_noise(package, alexnet):
    sharp, little, much = images()
    distance = load_lpips(alexnet)
    assert distance(sharp, sharp) == 0
    assert distance(little, sharp) == pytest.approx(distance(sharp, little))
    assert 0 < distance(little, sharp) < distance(much, sharp)


def test_other_weights_are_refused(package, tmp_path):
    torch.save({'features.0.weight': torch.ones(2, 3, 3, 3)}, tmp_path / 'other.pth')
    with pytest.raises(
        CheckpointError, match=r"does not contain AlexNet: 'features\.0\.weight' is missing or has another"
    ):
        load_lpips(tmp_path / 'other.pth')


def test_another_package_of_this_name_is_refused(package, alexnet):
    torch.save({'lin0.model.1.weight': torch.ones(1, 2, 1, 1)}, package / 'weights' / 'v0.1' / 'alex.pth')
    with pytest.raises(CheckpointError, match='does not contain the linear layers of LPIPS'):
        load_lpips(alexnet)


def test_without_the_package_it_says_what_to_install(monkeypatch, alexnet):
    monkeypatch.setitem(sys.modules, 'lpips', None)
    with pytest.raises(ConfigError, match='pip install lpips'):
        load_lpips(alexnet)


@pytest.mark.skipif(importlib.util.find_spec('lpips') is None, reason='lpips is not installed')
def test_agreement_with_the_package(alexnet, monkeypatch):
    """The package's own forward pass with the same weights; torchvision, which it imports, only lends the layers."""
    if importlib.util.find_spec('torchvision') is None:
        models = ModuleType('torchvision.models')
        models.alexnet = lambda pretrained: SimpleNamespace(features=alexnet_features())
        torchvision = ModuleType('torchvision')
        torchvision.models = models
        monkeypatch.setitem(sys.modules, 'torchvision', torchvision)
        monkeypatch.setitem(sys.modules, 'torchvision.models', models)
    import lpips

    theirs = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False).eval()
    weights = torch.load(alexnet)
    theirs.net.load_state_dict(
        {name: weights[f'features.{name.partition(".")[2]}'] for name in theirs.net.state_dict()}
    )
    distance = load_lpips(alexnet)
    sharp, *noisy = images()
    for image in (*noisy, sharp[::-1].copy(), 255 - sharp):
        pair = (torch.from_numpy(each).permute(2, 0, 1)[None] / 127.5 - 1 for each in (image, sharp))
        assert distance(image, sharp) == pytest.approx(theirs(*pair).item(), rel=1e-5)


def test_the_layers_are_those_of_torchvision():
    """Positions and shapes of torchvision.models.alexnet().features, as published."""
    found = {i: tuple(layer.weight.shape) for i, layer in enumerate(alexnet_features()) if isinstance(layer, nn.Conv2d)}
    assert found == {
        0: (64, 3, 11, 11),
        3: (192, 64, 5, 5),
        6: (384, 192, 3, 3),
        8: (256, 384, 3, 3),
        10: (256, 256, 3, 3),
    }
