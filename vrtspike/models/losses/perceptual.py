"""Perceptual loss on features of VGG16, and sums of losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError, did_you_mean, require_positive
from vrtspike.models.layers.frozen import FrozenModule
from vrtspike.models.weights import read_weights
from vrtspike.registry import MODELS
from vrtspike.runtime.imagenet import load_features, register_imagenet_statistics

#: Channels of VGG16's convolutions; 0 is a pooling layer.
PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


@MODELS.register_module()
class PerceptualLoss(nn.Module):
    """Mean absolute difference of VGG16 features (Johnson et al., arXiv 1603.08155), times ``weight``.

    VGG16 is frozen, works frame by frame and is not part of the network's checkpoints.

    Args:
        weights: File of VGG16's weights trained on ImageNet under torchvision's names (``features.0.weight``, ...).
            Nothing is downloaded: save torchvision's ``VGG16_Weights.IMAGENET1K_V1`` once and name the file.
        layers: Names of activations, ``'relu1_1'`` to ``'relu5_3'``; their losses are summed.
        weight: Factor of the loss.

    Raises:
        ConfigError: A layer is unknown or the weight is not above zero.
        CheckpointError: The file is missing or does not contain VGG16.
    """

    def __init__(self, weights: str, layers: Sequence[str] = ('relu3_3',), weight: float = 0.1) -> None:
        super().__init__()
        require_positive(type(self).__name__, weight=weight)
        self.weight = weight
        positions = layer_positions()
        for name in layers:
            if name not in positions:
                raise ConfigError(f'PerceptualLoss: VGG16 has no layer {name!r}{did_you_mean(name, positions)}')
        self.positions = tuple(positions[name] for name in layers)
        self.vgg = FrozenModule(vgg16_features(weights, max(self.positions) + 1))
        register_imagenet_statistics(self, persistent=False)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the scalar loss of two clips (B, T, 3, H, W) in [0, 1]."""
        with torch.no_grad():
            expected = self.features(target)
        found = self.features(prediction)
        losses = [F.l1_loss(one.float(), other.float()) for one, other in zip(found, expected, strict=True)]
        return self.weight * torch.stack(losses).sum()

    def features(self, clip: Tensor) -> list[Tensor]:
        """Return the chosen activations of all frames, each (B*T, C, h, w)."""
        x = (clip.flatten(0, 1) - self.mean) / self.std
        found = []
        for position, layer in enumerate(self.vgg.module):
            x = layer(x)
            if position in self.positions:
                found.append(x)
        return found


@MODELS.register_module()
class SumLoss(nn.Module):
    """The sum of several losses, each with its own weight.

    Args:
        losses: Losses from MODELS that take (restored, sharp).
    """

    def __init__(self, losses: Sequence[dict | nn.Module]) -> None:
        super().__init__()
        if not losses:
            raise ConfigError('SumLoss: no losses given; expected at least one')
        self.losses = nn.ModuleList(MODELS.build(loss) if isinstance(loss, dict) else loss for loss in losses)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the scalar sum."""
        return torch.stack([loss(prediction, target) for loss in self.losses]).sum()


def layer_positions() -> dict[str, int]:
    """Return the positions of VGG16's activations in its sequence of layers, by name.

    >>> layer_positions()['relu3_3']
    15
    """
    positions, position, block, number = {}, 0, 1, 1
    for channels in PLAN:
        if channels:
            positions[f'relu{block}_{number}'] = position + 1
            position, number = position + 2, number + 1
        else:
            position, block, number = position + 1, block + 1, 1
    return positions


def vgg16_features(path: str, count: int) -> nn.Sequential:
    """Return the first ``count`` layers of VGG16's convolutional part with the weights of a file."""
    network = vgg16_layers()[:count]
    load_features(network, read_weights(path), path, 'VGG16')
    return network


def vgg16_layers() -> nn.Sequential:
    """Return VGG16's convolutional part. torchvision has it too, but is an optional package."""
    layers: list[nn.Module] = []
    before = 3
    for channels in PLAN:
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()] if channels else [nn.MaxPool2d(2)]
        before = channels or before
    return nn.Sequential(*layers)
