import copy

import pytest
import torch
from torch import nn

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.models import CharbonnierLoss, PerceptualLoss, SumLoss
from vrtspike.models.losses.perceptual import PLAN, layer_positions, vgg16_layers


def layers_of(last):
    """Write out VGG16's first layers, as the paper's table has them."""
    found, before = [], 3
    for channels in PLAN:
        found += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
        before = channels or before
    return nn.Sequential(*found[: last + 1])


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return layers_of(15).requires_grad_(False)


@pytest.fixture(scope='module')
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp('vgg') / 'vgg16.pth'
    torch.save({f'features.{key}': value for key, value in network.state_dict().items()}, path)
    return str(path)


@pytest.fixture
def clips():
    return torch.rand(2, 1, 2, 3, 16, 16)


def test_named_layers_have_their_published_positions():
    positions = layer_positions()
    expected = {'relu1_2': 3, 'relu2_2': 8, 'relu3_3': 15, 'relu4_3': 22, 'relu5_3': 29}
    assert {name: positions[name] for name in expected} == expected
    assert len(positions) == 13


def test_layers_are_those_of_torchvision():
    """Convolutions and poolings of torchvision.models.vgg16().features."""
    layers = list(enumerate(vgg16_layers()))
    channels = {i: layer.out_channels for i, layer in layers if isinstance(layer, torch.nn.Conv2d)}
    assert channels == {
        **{0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256},
        **{17: 512, 19: 512, 21: 512, 24: 512, 26: 512, 28: 512},
    }
    assert [i for i, layer in layers if isinstance(layer, torch.nn.MaxPool2d)] == [4, 9, 16, 23, 30]


def test_the_loss_is_that_of_the_features(network, weights, clips):
    def features(clip, last):
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return network[: last + 1]((clip.flatten(0, 1) - mean) / std)

    expected = sum((features(clips[0], i) - features(clips[1], i)).abs().mean() for i in (8, 15))
    loss = PerceptualLoss(weights, layers=['relu2_2', 'relu3_3'], weight=0.3)
    torch.testing.assert_close(loss(*clips), 0.3 * expected)
    assert loss(clips[0], clips[0]) == 0


def test_it_has_no_parameters_and_saves_nothing_and_passes_gradients_on(weights, clips):
    loss = PerceptualLoss(weights)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    restored = clips[0].clone().requires_grad_()
    loss(restored, clips[1]).backward()
    assert restored.grad.abs().sum() > 0
    assert copy.deepcopy(loss).vgg.module is loss.vgg.module


def test_a_sum_adds_up(weights, clips):
    parts = [CharbonnierLoss(), PerceptualLoss(weights, weight=0.1)]
    torch.testing.assert_close(SumLoss(parts)(*clips), sum(part(*clips) for part in parts))
    with pytest.raises(ConfigError, match='no losses'):
        SumLoss([])


def test_wrong_input_is_named(weights, tmp_path):
    with pytest.raises(ConfigError, match="no layer 'relu3_9'; did you mean 'relu3_3'"):
        PerceptualLoss(weights, layers=['relu3_9'])
    with pytest.raises(CheckpointError, match=r'absent\.pth does not exist'):
        PerceptualLoss('absent.pth')
    torch.save({'w': torch.ones(1)}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=r"does not contain VGG16: 'features\.0\.weight' is missing"):
        PerceptualLoss(str(tmp_path / 'other.pth'))
