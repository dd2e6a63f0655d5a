"""LPIPS, where the package ``lpips`` is installed and the weights of its backbone lie in a file."""

from __future__ import annotations

import os

import numpy as np
import torch

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.metrics.scores import Perceptual
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict


def load_lpips(weights: str | os.PathLike, device: torch.device | str = 'cpu') -> Perceptual:
    """Return LPIPS with AlexNet, a distance of two (H, W, 3) uint8 RGB images; smaller is better.

    `Zhang et al. 2018 <https://arxiv.org/abs/1801.03924>`_. The linear layers ship with the package; nothing is
    downloaded.

    Args:
        weights: torchvision's AlexNet trained on ImageNet, its state dict in a file such as
            ``alexnet-owt-7be5be79.pth``.
        device: Where it is computed.

    Raises:
        ConfigError: The package is not installed.
        CheckpointError: The file holds other weights.
    """
    try:
        import lpips
    except ImportError as error:
        raise ConfigError('LPIPS needs the package lpips, which is not installed: pip install lpips') from error
    network = lpips.LPIPS(net='alex', pnet_rand=True, verbose=False).eval().to(device)
    load_backbone(network.net, unwrap_state_dict(load_checkpoint_file(weights)), weights)

    @torch.inference_mode()
    def distance(image: np.ndarray, reference: np.ndarray) -> float:
        pair = (torch.from_numpy(each).to(device).permute(2, 0, 1)[None] / 127.5 - 1 for each in (image, reference))
        return float(network(*pair))

    return distance


def load_backbone(backbone: torch.nn.Module, weights: dict[str, torch.Tensor], path: str | os.PathLike) -> None:
    """Load ``features.<i>`` of torchvision's network into the slices of ``lpips``, which number layers alike."""
    state = backbone.state_dict()
    names = {name: f'features.{name.partition(".")[2]}' for name in state}
    unfit = [name for key, name in names.items() if name not in weights or weights[name].shape != state[key].shape]
    if unfit:
        raise CheckpointError(f"{path} does not hold torchvision's AlexNet: {unfit[0]} is missing or of another shape")
    backbone.load_state_dict({key: weights[name] for key, name in names.items()})
