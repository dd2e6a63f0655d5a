"""What every backbone does with the clip it is given.

Shapes: clip (B, T, C, H, W).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def check_clip(owner: nn.Module, clip: Tensor, channels: int) -> None:
    """Refuse a clip that ``owner`` cannot restore, by name and before anything is computed.

    Args:
        owner: The network; its first parameter tells the element type it computes in.
        clip: What it was given.
        channels: C that it expects.

    Raises:
        ValueError: The clip has other dimensions, is empty, or has another element type than the weights (outside
            autocast, which converts).
    """
    name = type(owner).__name__
    if clip.ndim != 5 or clip.shape[2] != channels:
        raise ValueError(f'{name}: expected a clip (B, T, {channels}, H, W), found {tuple(clip.shape)}')
    if not clip.numel():
        raise ValueError(f'{name}: the clip {tuple(clip.shape)} is empty; expected at least one frame of one clip')
    weights = next(owner.parameters()).dtype
    if not clip.is_floating_point():
        raise ValueError(f'{name}: expected values in [0, 1], found {clip.dtype}; convert with clip.float() / 255')
    if clip.dtype != weights and not torch.is_autocast_enabled(clip.device.type):
        raise ValueError(
            f'{name}: the clip is {clip.dtype} and the weights are {weights}; convert one of them, or run under '
            'torch.autocast'
        )


def pad_to_multiple(clip: Tensor, divisor: int) -> Tensor:
    """Return a clip whose border is repeated below and to the right up to whole multiples."""
    missing = [-size % divisor for size in clip.shape[-2:]]
    if not any(missing):
        return clip
    padded = F.pad(clip.flatten(0, 1), (0, missing[1], 0, missing[0]), mode='replicate')
    return padded.unflatten(0, clip.shape[:2])
