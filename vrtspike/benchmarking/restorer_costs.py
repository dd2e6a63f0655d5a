"""Counts what a restorer computes for one clip."""

from __future__ import annotations

import warnings
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, VrtSpikeError
from vrtspike.profiling.flops import CannotCount, Costs, count_costs, count_with_values
from vrtspike.registry import MODELS

ClipShape = tuple[int, int, int]
"""(T, H, W) of a clip."""

SMALL = 64
"""Largest height and width in pixels that a network is counted at with values, if it is not told otherwise."""


def count_config(node: Any, shape: ClipShape, spike_ratio: float = 2, largest: int | None = SMALL) -> Costs:
    """Count the network of a config's ``model`` without its weights; see :func:`count_restorer`.

    The loss and a teacher's checkpoint have no part in the counts, so their files need not be there.
    """
    import vrtspike.models  # noqa: F401 - registers what configs name

    node = {name: value for name, value in node.items() if name not in ('loss', 'teacher_checkpoint')}
    try:
        with torch.device('meta'), warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # the flow network's weights cannot be copied there
            model = MODELS.build(dict(node))
        return count_restorer(model, shape, spike_ratio, largest)
    except Exception as error:
        if isinstance(error, VrtSpikeError) and not isinstance(error, CannotCount):
            raise
    return count_restorer(MODELS.build(node), shape, spike_ratio, largest)


def count_restorer(model: nn.Module, shape: ClipShape, spike_ratio: float = 2, largest: int | None = SMALL) -> Costs:
    """Count one forward pass of a :class:`~vrtspike.models.SpikeRestorer`.

    Args:
        model: The restorer.
        shape: (T, H, W) of the clip.
        spike_ratio: Height and width of the frames relative to those of the spikes.
        largest: See :func:`count_clip`.

    Raises:
        ConfigError: The size of the frames over the ratio is not a whole number of spike pixels.
        CannotCount: The network runs neither on the meta device nor on the CPU.
    """
    frames, height, width = shape
    channels = getattr(getattr(model, 'backbone', None), 'in_channels', 3)  # one more with a noise level
    blur = torch.empty(1, frames, channels, height, width, device='meta')
    if not getattr(model, 'uses_spikes', False):
        return count_clip(model, blur, largest=largest)
    spike_size = [length / spike_ratio for length in (height, width)]
    if any(length != int(length) for length in spike_size):
        raise ConfigError(
            f'frames of {height}x{width} are no whole number of spike pixels at a ratio of {spike_ratio:g}; choose a '
            'multiple of the ratio, or a ratio of 1'
        )
    bins = model.spike_bins
    spikes = torch.empty(1, frames, bins, *map(int, spike_size), device='meta')
    return count_clip(model, blur, spikes, largest)


def count_clip(model: nn.Module, blur: Tensor, spikes: Tensor | None = None, largest: int | None = SMALL) -> Costs:
    """Count one forward pass for a clip (1, T, 3, H, W) with its spikes (1, T, K, Hs, Ws).

    A network that cannot run without values is counted on the CPU instead, and :attr:`Costs.note` says so.

    Args:
        model: The restorer.
        blur: The frames; only their shape matters.
        spikes: The voxels, if the network takes any.
        largest: Height and width in pixels beyond which the clip for a count with values is made smaller; None for no
            limit.
    """
    clip = {'blur': blur} if spikes is None else {'blur': blur, 'spikes': spikes}
    try:
        costs = count_costs(model, **clip)
    except CannotCount as error:
        if any(parameter.is_meta for parameter in model.parameters()):
            raise
        clip = clip if largest is None else {name: _cropped(maps, blur, spikes, largest) for name, maps in clip.items()}
        costs = count_with_values(model, **clip)
        costs.note = f'the network needs values ({error}), so it ran on the CPU'
        if clip['blur'].shape != blur.shape:
            costs.note += ' for a smaller clip than asked for; most of its costs grow with the number of pixels'
    costs.clip_shape = (clip['blur'].shape[1], *clip['blur'].shape[3:])
    return costs


def _cropped(maps: Tensor, blur: Tensor, spikes: Tensor | None, largest: int) -> Tensor:
    """Return the part of frames or spikes that shows the same area of at most ``largest`` pixels of RGB a side."""
    sides = []
    for axis in (-2, -1):
        rgb = blur.shape[axis]
        unit = rgb // gcd(rgb, rgb if spikes is None else spikes.shape[axis])
        sides.append(min(rgb, max(1, largest // unit) * unit) * maps.shape[axis] // rgb)
    return maps[..., : sides[0], : sides[1]]
