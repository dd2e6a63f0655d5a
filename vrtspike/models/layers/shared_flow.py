"""Optical flow by one level of SpyNet that serves every scale: 240,050 parameters in all."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import CheckpointError
from vrtspike.models.layers.flow import PRETRAINED_LEVEL, FlowLevel, pyramid_flows
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, unwrap_state_dict

LEVELS = 3


class SharedPyramidFlow(nn.Module):
    """Flow from a reference frame to a neighbour by one network for all three levels of a pyramid.

    Args:
        weights: A file of one level, as ``tools/pretrain_spynet.py`` writes it, read as weights only; None takes the
            one that ships with the package.

    Raises:
        CheckpointError: The file is missing, unsafe, or holds something else.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        self.level = FlowLevel()
        self.register_buffer('mean', torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        load_level(self.level, weights or PRETRAINED_LEVEL)

    def forward(self, reference: Tensor, neighbour: Tensor) -> list[Tensor]:
        """Return the flow between RGB frames (N, 3, H, W) in [0, 1], H and W even.

        Returns:
            Two flows (N, 2, H/s, W/s) in pixels of their own scale, s = 1, 2: warping ``neighbour`` by them gives
            ``reference``.
        """
        height, width = reference.shape[-2:]
        *_, half, full = pyramid_flows([self.level] * LEVELS, self.prepare(reference), self.prepare(neighbour))
        return [full[..., :height, :width], half[..., : height // 2, : width // 2]]

    def prepare(self, frame: Tensor) -> Tensor:
        """Return the normalised frame, its border repeated up to sizes that every level halves exactly."""
        missing = [-length % 2 ** (LEVELS - 1) for length in frame.shape[-2:]]
        return F.pad((frame - self.mean) / self.std, (0, missing[1], 0, missing[0]), mode='replicate')


def load_level(level: FlowLevel, path: str | Path) -> None:
    """Fill a level with the weights in a file; see :class:`SharedPyramidFlow`."""
    weights = unwrap_state_dict(load_checkpoint_file(path))
    found = {name: tensor.shape for name, tensor in weights.items()}
    expected = {name: parameter.shape for name, parameter in level.named_parameters()}
    if found != expected:
        raise CheckpointError(
            f'{path} holds no single level of SpyNet: expected {", ".join(list(expected)[:3])}, ...; found '
            f'{", ".join(list(found)[:3])}, ...; tools/pretrain_spynet.py writes such a file'
        )
    level.load_state_dict(weights)
