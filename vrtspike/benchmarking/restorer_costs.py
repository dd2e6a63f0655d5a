"""Counts what a restorer computes for one clip."""

from __future__ import annotations

import torch
from torch import nn

from vrtspike.errors import ConfigError
from vrtspike.profiling.flops import Costs, count_costs


def count_restorer(model: nn.Module, shape: tuple[int, int, int], spike_ratio: float = 2) -> Costs:
    """Count one forward pass of a :class:`~vrtspike.models.SpikeRestorer`.

    Args:
        model: The restorer.
        shape: (T, H, W) of the clip.
        spike_ratio: Height and width of the frames relative to those of the spikes.

    Raises:
        ConfigError: The size of the frames over the ratio is not a whole number of spike pixels.
    """
    frames, height, width = shape
    blur = torch.empty(1, frames, 3, height, width, device='meta')
    if not model.uses_spikes:
        return count_costs(model, blur)
    spike_size = [length / spike_ratio for length in (height, width)]
    if any(length != int(length) for length in spike_size):
        raise ConfigError(f'frames of {height}x{width} are no whole number of spike pixels at a ratio of {spike_ratio}')
    bins = model.spike_encoder.bins
    return count_costs(model, blur, torch.empty(1, frames, bins, *map(int, spike_size), device='meta'))
