"""Checks of constructor arguments and of inputs. Each error names what was wrong, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive_integers


def check_heads(owner: str, channels: int, heads: int) -> None:
    """Raise :class:`ConfigError` unless ``heads`` divides ``channels``."""
    if channels % heads:
        raise ConfigError(f'{owner}: heads={heads} does not divide channels={channels}; choose a divisor')


def check_window(owner: str, window: Sequence[int]) -> tuple[int, int, int]:
    """Return ``window`` as (t, h, w); raise :class:`ConfigError` unless it is three positive integers."""
    if len(window) != 3:
        raise ConfigError(f'{owner}: window_size={list(window)}; expected three lengths (t, h, w)')
    require_positive_integers(owner, **dict(zip(('t', 'h', 'w'), window, strict=True)))
    return tuple(window)


def check_maps(part: nn.Module, channels: int, **maps: Tensor) -> None:
    """Raise :class:`ConfigError` unless all maps have the same shape (B, C, T, H, W) with C = ``channels``."""
    shapes = {name: tuple(feature.shape) for name, feature in maps.items()}
    first = next(iter(shapes.values()))
    if len(first) != 5 or first[1] != channels or set(shapes.values()) != {first}:
        found = ', '.join(f'{name} {shape}' for name, shape in shapes.items())
        raise ConfigError(
            f'{type(part).__name__}(channels={channels}) was given {found}; expected (B, {channels}, T, '
            'H, W) for every map: give the parts that compute the maps the same channels, and resize the maps first'
        )


def check_clip(owner: nn.Module, clip: Tensor, channels: int) -> None:
    """Refuse a clip that ``owner`` cannot restore.

    Args:
        owner: The network; the type of its first parameter is the type it computes in.
        clip: The clip (B, T, C, H, W).
        channels: The expected C.

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
