"""LPIPS, a perceptual distance of images. It needs the package ``lpips`` and a file with its backbone's weights."""

from __future__ import annotations

import os

import numpy as np
import torch

from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.metrics.scores import Perceptual
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict


def load_lpips(weights: str | os.PathLike, device: torch.device | str = 'cpu') -> Perceptual:
    """Return LPIPS with AlexNet: a function of two (H, W, 3) uint8 RGB images. Smaller is better.

    `Zhang et al. 2018 <https://arxiv.org/abs/1801.03924>`_. The package brings the weights of the linear layers.
    Nothing is downloaded.

    Args:
        weights: File with the state dict of torchvision's AlexNet, trained on ImageNet, such as
            ``alexnet-owt-7be5be79.pth``.
        device: Where the distance is computed.

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
    """Load torchvision's ``features.<i>`` into the backbone of ``lpips``, which has them as ``slice<n>.<i>``."""
    state = backbone.state_dict()
    names = {name: f'features.{name.partition(".")[2]}' for name in state}
    wrong = [name for key, name in names.items() if name not in weights or weights[name].shape != state[key].shape]
    if wrong:
        raise CheckpointError(f"{path} does not hold torchvision's AlexNet: {wrong[0]} is missing or of another shape")
    backbone.load_state_dict({key: weights[name] for key, name in names.items()})
