"""Finds the largest tile that fits into the free memory, by extrapolation from the peaks of two small tiles."""

from __future__ import annotations

import dataclasses
import math

from torch import Tensor

from vrtspike.errors import ConfigError
from vrtspike.models.tiling import Network, Tiling, grid_step, restore_frames
from vrtspike.native.allocator import give_freed_memory_back
from vrtspike.ops.trial_outcomes import measures
from vrtspike.runtime.device import MIB, free_memory, peak_memory, reset_peak_memory, used_memory

#: Sides of the measured tiles in pixels. Memory grows linearly with the area, so two tiles are enough.
PROBES = (64, 128)
#: Share of the free memory that a tile may take. The measured growth is not exact, and other programs need memory too.
SHARE = 0.7


def largest_tile(
    network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, *, overlap: int, divisor: int
) -> Tiling:
    """Return ``tiling`` with the largest tile of the clip's frames that fits into the free memory.

    Args:
        network: Restores a tile.
        blur: Prepared frames (B, T, 3, H, W) of one tile in time.
        spikes: Their prepared spikes, or None.
        tiling: Its frames, precision and tiles per batch are used.
        overlap: Minimum overlap of tiles in both directions, in pixels.
        divisor: As for :func:`~vrtspike.models.tiling.restore_clip`.

    Raises:
        ConfigError: The smaller of the measured tiles does not fit, or memory cannot be measured on this system.
    """
    sides = blur.shape[-2:]
    spike_sides = sides if spikes is None else spikes.shape[-2:]
    step = math.lcm(*(grid_step(*pair, divisor) for pair in zip(sides, spike_sides, strict=True)))
    small, large = (min(-(-side // step) * step, *(n // step * step for n in sides)) for side in PROBES)
    if small == large:
        return dataclasses.replace(tiling, tile=(tiling.tile[0], 0, 0), overlap=(tiling.overlap[0], 0, 0))
    free = free_memory(blur.device)
    peaks = [tile_peak(network, blur, spikes, tiling, side, divisor) for side in (small, large)]
    growth = max(peaks[1] - peaks[0], 1) / (large**2 - small**2)
    fixed = max(peaks[0] - growth * small**2, 0)
    pixels = (SHARE * free - fixed) / growth
    if pixels < small**2:
        raise ConfigError(
            f'a tile of {small} x {small} pixels needs {peaks[0] / MIB:.0f} MiB, but {free / MIB:.0f} MiB are free: '
            'free some memory, restore fewer frames at once, or choose a smaller tile'
        )
    return dataclasses.replace(
        tiling, tile=(tiling.tile[0], *tile_sides(pixels, sides, step)), overlap=(tiling.overlap[0], overlap, overlap)
    )


def tile_sides(pixels: float, sides: tuple[int, int], step: int) -> tuple[int, int]:
    """Return the height and width of a tile of at most ``pixels``: square, or as high or wide as the frame."""
    if pixels >= sides[0] * sides[1]:
        return tuple(sides)
    square = int(math.sqrt(pixels))
    short = min(square, *sides)
    lengths = [min(side, square if short == square else int(pixels / short)) for side in sides]
    return tuple(max(length // step, 1) * step for length in lengths)


def tile_peak(network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, side: int, divisor: int) -> int:
    """Return how many bytes of memory it takes to restore ``tiles_per_batch`` tiles of ``side`` pixels.

    Raises:
        ConfigError: This system does not report peaks.
    """
    corner = blur[..., :side, :side].repeat_interleave(tiling.tiles_per_batch, 0)
    if spikes is not None:
        spike_sides = [side * s // n for s, n in zip(spikes.shape[-2:], blur.shape[-2:], strict=True)]
        spikes = spikes[..., : spike_sides[0], : spike_sides[1]].repeat_interleave(tiling.tiles_per_batch, 0)
    whole = dataclasses.replace(tiling, tile=(0, 0, 0), overlap=(0, 0, 0))
    if measures(blur):  # trials of backends take memory too, once
        restore_frames(network, corner, spikes, whole, divisor=divisor)
    give_freed_memory_back()  # freed blocks that the C library keeps would hide part of the next peak
    try:
        reset_peak_memory(blur.device)
        before = used_memory(blur.device)
        restore_frames(network, corner, spikes, whole, divisor=divisor)
        return max(peak_memory(blur.device) - before, 0)
    except OSError as error:
        raise ConfigError(
            'memory can be measured on CUDA devices and on Linux only: choose a tile size, such as --tile 256'
        ) from error
