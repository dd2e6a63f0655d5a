"""The largest tile that the free memory holds, from the peaks of two small ones."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import math
import re
from pathlib import Path

import torch
from torch import Tensor

from vrtspike.errors import ConfigError
from vrtspike.models.tiling import Network, Tiling, grid_step, restore_frames

#: Sides of the tiles that are measured, in pixels: memory grows with the area, so that two of them tell the rest.
PROBES = (64, 128)
#: Part of the free memory that a tile may take: the measured growth is not exact, and others may need some.
SHARE = 0.7
MIB = 2**20


def largest_tile(
    network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, *, overlap: int, divisor: int
) -> Tiling:
    """Return ``tiling`` with the largest tile of the clip's frames that fits into the free memory.

    Args:
        network: What restores a tile.
        blur: Prepared frames (B, T, 3, H, W) of one tile in time.
        spikes: Their prepared spikes, or None.
        tiling: Its frames, precision and tiles per batch are kept.
        overlap: Least overlap of tiles in both directions, in pixels.
        divisor: As for :func:`~vrtspike.models.tiling.restore_clip`.

    Raises:
        ConfigError: Not even the smaller of the measured tiles fits, or memory cannot be measured here.
    """
    sides = blur.shape[-2:]
    spike_sides = sides if spikes is None else spikes.shape[-2:]
    step = math.lcm(*(grid_step(*pair, divisor) for pair in zip(sides, spike_sides, strict=True)))
    small, large = (min(-(-side // step) * step, *(n // step * step for n in sides)) for side in PROBES)
    if small == large:
        return dataclasses.replace(tiling, tile=(tiling.tile[0], 0, 0), overlap=(tiling.overlap[0], 0, 0))
    free = free_bytes(blur.device)
    peaks = [peak_of_tile(network, blur, spikes, tiling, side, divisor) for side in (small, large)]
    growth = max(peaks[1] - peaks[0], 1) / (large**2 - small**2)
    fixed = max(peaks[0] - growth * small**2, 0)
    pixels = (SHARE * free - fixed) / growth
    if pixels < small**2:
        raise ConfigError(
            f'a tile of {small} x {small} pixels needs {peaks[0] / MIB:.0f} MiB, but {free / MIB:.0f} MiB are free: '
            'free some memory, restore fewer frames at once, or name a smaller tile'
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


def peak_of_tile(network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, side: int, divisor: int) -> int:
    """Return by how many bytes restoring ``tiles_per_batch`` tiles of ``side`` pixels raises the memory in use."""
    corner = blur[..., :side, :side].repeat_interleave(tiling.tiles_per_batch, 0)
    if spikes is not None:
        spike_sides = [side * s // n for s, n in zip(spikes.shape[-2:], blur.shape[-2:], strict=True)]
        spikes = spikes[..., : spike_sides[0], : spike_sides[1]].repeat_interleave(tiling.tiles_per_batch, 0)
    whole = dataclasses.replace(tiling, tile=(0, 0, 0), overlap=(0, 0, 0))
    before = reset_peak(blur.device)
    restore_frames(network, corner, spikes, whole, divisor=divisor)
    return max(peak_bytes(blur.device) - before, 0)


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be allocated; on a CPU what Linux calls available."""
    if device.type == 'cuda':
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return _kilobytes('/proc/meminfo', 'MemAvailable') * 1024


def reset_peak(device: torch.device) -> int:
    """Forget the peak so far and return the bytes now in use."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would hide as much of the next peak
    try:
        Path('/proc/self/clear_refs').write_text('5')  # resets VmHWM; see proc(5)
    except OSError as error:
        raise ConfigError(_UNKNOWN) from error
    return _kilobytes('/proc/self/status', 'VmRSS') * 1024


def peak_bytes(device: torch.device) -> int:
    """Return the most bytes in use since :func:`reset_peak`."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    return _kilobytes('/proc/self/status', 'VmHWM') * 1024


_UNKNOWN = 'memory can be measured on CUDA devices and on Linux only: name a tile size, such as --tile 256'


def _kilobytes(file: str, name: str) -> int:
    try:
        return int(re.search(rf'^{name}:\s+(\d+) kB', Path(file).read_text(), re.MULTILINE).group(1))
    except (OSError, AttributeError) as error:
        raise ConfigError(_UNKNOWN) from error
