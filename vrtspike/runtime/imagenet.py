"""Helpers for networks trained on ImageNet: normalisation of inputs, and weights under torchvision's names."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vrtspike.errors import CheckpointError


def register_imagenet_statistics(module: nn.Module, persistent: bool = True) -> None:
    """Give a module the mean and the standard deviation of ImageNet's RGB values as buffers (1, 3, 1, 1)."""
    for name, values in (('mean', (0.485, 0.456, 0.406)), ('std', (0.229, 0.224, 0.225))):
        module.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=persistent)


def load_features(network: nn.Sequential, weights: Mapping[str, Tensor], path: str | os.PathLike, name: str) -> None:
    """Load torchvision's ``features.<i>.weight`` and ``features.<i>.bias`` into the first layers of a network.

    Args:
        network: The layers, numbered as in torchvision.
        weights: The weights in ``path``.
        path: The file, for errors.
        name: The network's name in torchvision, such as ``'VGG16'``.

    Raises:
        CheckpointError: A tensor is missing or has another shape.
    """
    state = network.state_dict()
    for key, tensor in state.items():
        found = weights.get(f'features.{key}')
        if found is None or found.shape != tensor.shape:
            raise CheckpointError(
                f"{path} does not contain {name}: 'features.{key}' is missing or has another shape, expected "
                f"{tuple(tensor.shape)}; save torchvision's {name.lower()}(weights='IMAGENET1K_V1').state_dict() there"
            )
    network.load_state_dict({key: weights[f'features.{key}'] for key in state})
