"""LPIPS, a perceptual distance between images (Zhang et al., arXiv 1801.03924).

It needs two files of weights. The package ``lpips`` contains those of the linear layers. Nothing else of the package is
used, because it cannot be imported without torchvision. The user supplies the weights of AlexNet, trained on ImageNet.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.metrics.scores import Perceptual
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict
from vrtspike.runtime.imagenet import load_features, register_imagenet_statistics

CHANNELS = (64, 192, 384, 256, 256)
"""Channels of AlexNet's five activations."""


def load_lpips(weights: str | os.PathLike, device: torch.device | str = 'cpu') -> Perceptual:
    """Return LPIPS with AlexNet, version 0.1: a function of two (H, W, 3) uint8 RGB images. Smaller is better.

    Args:
        weights: File with the state dict of torchvision's AlexNet, trained on ImageNet, such as
            ``alexnet-owt-7be5be79.pth``. Nothing is downloaded.
        device: Where the distance is computed.

    Raises:
        ConfigError: The package ``lpips`` is not installed.
        CheckpointError: A file contains other weights.
    """
    alexnet = alexnet_features()
    factors = package_factors()
    load_features(alexnet, unwrap_state_dict(load_checkpoint_file(weights), str(weights)), weights, 'AlexNet')
    network = LPIPS(alexnet, factors).to(device)

    @torch.inference_mode()
    def distance(image: np.ndarray, reference: np.ndarray) -> float:
        pair = (torch.from_numpy(each).to(device).permute(2, 0, 1)[None] / 255 for each in (image, reference))
        return float(network(*pair))

    return distance


def package_factors() -> list[Tensor]:
    """Return the weights of the linear layers (1, C, 1, 1), from the file in the package ``lpips``."""
    package = importlib.util.find_spec('lpips')
    if package is None:
        raise ConfigError(
            'LPIPS needs the package lpips, which is not installed: pip install lpips (pip install --no-deps lpips '
            'leaves out torchvision, which is not used here)'
        )
    path = Path(package.submodule_search_locations[0], 'weights', 'v0.1', 'alex.pth')
    found = load_checkpoint_file(path)
    factors = [found.get(f'lin{i}.model.1.weight') for i in range(len(CHANNELS))]
    if [None if each is None else each.shape for each in factors] != [(1, count, 1, 1) for count in CHANNELS]:
        raise CheckpointError(f'{path} does not contain the linear layers of LPIPS; reinstall lpips 0.1.4')
    return factors


class LPIPS(nn.Module):
    """The distance between the normalised activations of a network for two images, weighted by channel.

    Args:
        features: The network's layers. The outputs of every ReLU are compared.
        factors: For each of these outputs, the weights (1, C, 1, 1) of its channels.
    """

    def __init__(self, features: nn.Sequential, factors: Sequence[Tensor]) -> None:
        super().__init__()
        self.features = features.eval()
        self.factors = nn.ParameterList(nn.Parameter(each, requires_grad=False) for each in factors)
        register_imagenet_statistics(self)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return the distances (N,) of RGB images (N, 3, H, W) in [0, 1]."""
        x = (torch.cat((image, reference)) - self.mean) / self.std
        distances, factors = 0, iter(self.factors)
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                one, other = (x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)).chunk(2)
                distances = distances + ((one - other).square() * next(factors)).sum(1).mean((1, 2))
        return distances


def alexnet_features() -> nn.Sequential:
    """Return AlexNet's convolutional part (arXiv 1404.5997) without its last pooling, numbered as in torchvision."""
    one, two, three, four, five = CHANNELS
    return nn.Sequential(
        *(nn.Conv2d(3, one, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(one, two, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(two, three, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(three, four, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(four, five, 3, padding=1), nn.ReLU()),
    )
