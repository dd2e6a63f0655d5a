"""Space-time tiling: restores clips of any size and length in bounded memory, tile by tile.

Shapes: B clips, T frames, K temporal bins, H x W pixels of RGB, Hs x Ws pixels of spikes; n tiles along one axis.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vrtspike.errors import ConfigError
from vrtspike.models.self_ensemble import with_reflections

Network = Callable[[Tensor, Tensor | None], Tensor]
"""Prepared frames (B, T, 3, H, W) and spikes (B, T, K, Hs, Ws) or None -> restored frames (B, T, 3, s*H, s*W)."""
Axes = tuple[int, int, int]
AXES = ('frames', 'height', 'width')


@dataclass(frozen=True)
class Tiling:
    """How clips are cut into tiles, and how the restored tiles are joined.

    Neighbouring tiles share at least ``overlap``. Around the middle of the overlap, one tile fades linearly into the
    next; positions nearer to a tile's border are discarded. With ``blend=0`` the result equals that of the whole clip
    if the network's receptive field is no larger than the overlap.

    Args:
        tile: Frames, height and width of a tile, in pixels of the input RGB; 0 is the whole axis.
        overlap: Smallest number of frames, rows and columns that neighbouring tiles share.
        blend: Fraction of the overlap in which tiles fade into each other, from 0 (a hard cut) to 1.
        tiles_per_batch: Number of tiles of the same frames in one forward pass.
        precision: ``'float32'``, or ``'bfloat16'`` or ``'float16'`` for autocast.
        ensemble: Whether to average the results of the eight reflections and rotations of every tile.

    Raises:
        ConfigError: A size is negative, or an overlap is as large as its tile.
    """

    tile: Axes = (0, 0, 0)
    overlap: Axes = (0, 0, 0)
    blend: float = 0.5
    tiles_per_batch: int = 1
    precision: str = 'float32'
    ensemble: bool = False

    def __post_init__(self) -> None:
        for name in ('tile', 'overlap'):
            value = tuple(getattr(self, name))
            if len(value) != 3 or not all(isinstance(n, int) and n >= 0 for n in value):
                raise ConfigError(f'tiling: {name}={value}, expected three whole numbers: frames, height, width')
            object.__setattr__(self, name, value)
        for axis, size, overlap in zip(AXES, self.tile, self.overlap, strict=True):
            if size and overlap >= size:
                raise ConfigError(
                    f'tiling: tiles of {size} {axis} cannot overlap by {overlap}; choose an overlap below {size}, or '
                    'larger tiles'
                )
        if not 0 <= self.blend <= 1 or self.tiles_per_batch < 1:
            raise ConfigError(
                f'tiling: blend={self.blend}, tiles_per_batch={self.tiles_per_batch}; expected a '
                'blend of 0 to 1 and at least 1 tile per batch'
            )
        if self.precision not in ('float32', 'bfloat16', 'float16'):
            raise ConfigError(f"tiling: precision={self.precision!r}, expected 'float32', 'bfloat16' or 'float16'")


@dataclass(frozen=True)
class Cut:
    """An axis of ``length`` positions cut into n tiles of ``size``; the weights sum to one at every position."""

    length: int
    size: int
    starts: list[int]  # ascending
    weights: Tensor  # (n, size)


def cut_axis(length: int, size: int, overlap: int, *, blend: float = 0.5, multiple: int = 1, axis: str = 'axis') -> Cut:
    """Cut an axis into evenly spread tiles that overlap by at least ``overlap``.

    Args:
        length: Length of the axis, a multiple of ``multiple``.
        size: Size of a tile, a multiple of ``multiple``; 0 or more than ``length`` is the whole axis.
        overlap: Smallest overlap of neighbours.
        blend: See :class:`Tiling`.
        multiple: Tiles start at multiples of it.
        axis: Name of the axis in errors.

    Raises:
        ConfigError: The size is not a multiple, or the overlap leaves less than ``multiple`` between two starts.
    """
    size = min(size or length, length)
    if size == length:
        return Cut(length, size, [0], torch.ones(1, size))
    if size % multiple:
        raise ConfigError(
            f'tiling: tiles of {size} {axis} do not fit the common grid of frames, spikes and network; choose a '
            f'multiple of {multiple}'
        )
    stride = (size - overlap) // multiple * multiple
    if stride < 1:
        raise ConfigError(
            f'tiling: tiles of {size} {axis} that overlap by {overlap} cannot start at multiples of {multiple}; choose '
            f'an overlap of at most {size - multiple}, or larger tiles'
        )
    count = -(-(length - size) // stride) + 1
    steps = (length - size) // multiple
    starts = [i * steps // (count - 1) * multiple for i in range(count)]
    return Cut(length, size, starts, partition_of_unity(length, size, starts, blend))


def partition_of_unity(length: int, size: int, starts: list[int], blend: float) -> Tensor:
    """Return the weights (n, size) of tiles along an axis; each tile fades into the next where they overlap.

    The weight of a tile is its own fade-in minus that of the next tile, so the sum telescopes to one.
    """
    positions = torch.arange(length, dtype=torch.float64) + 0.5
    fades = [torch.ones(length, dtype=torch.float64)]
    for this, following in itertools.pairwise(starts):
        shared = this + size - following
        middle, width = following + shared / 2, max(blend * shared, 1)
        fades.append(((positions - middle) / width + 0.5).clamp(0, 1))
    fades.append(torch.zeros(length, dtype=torch.float64))
    weights = (here - after for here, after in itertools.pairwise(fades))
    return torch.stack([w[start : start + size] for w, start in zip(weights, starts, strict=True)]).float()


def grid_step(rgb: int, spike: int, divisor: int) -> int:
    """Return the smallest number of RGB pixels that is a multiple of ``divisor`` and a whole number of spike pixels."""
    return math.lcm(divisor, Fraction(rgb, spike).numerator)


def restore_clip(
    network: Network,
    blur: Tensor,
    spikes: Tensor | None,
    tiling: Tiling,
    *,
    scale: int = 1,
    divisor: int = 8,
    instant: Tensor | None = None,
) -> Tensor:
    """Restore a whole clip tile by tile.

    Args:
        network: Restores a tile and keeps the number of frames.
        blur: Prepared frames (B, T, 3, H, W); ``divisor`` divides H and W.
        spikes: Prepared voxels (B, T, K, Hs, Ws) of the same area of the scene; H / Hs and W / Ws may be any ratios.
        tiling: How the clip is cut.
        scale: s, the factor by which the network enlarges frames.
        divisor: Tiles start at multiples of it; the network pads to the same multiples.
        instant: The instants to restore (B, T), which the network then takes as a third argument.

    Returns:
        (B, T, 3, s*H, s*W) float32.
    """

    def read(start: int, stop: int) -> tuple[Tensor, Tensor | None]:
        return blur[:, start:stop], None if spikes is None else spikes[:, start:stop]

    parts = stream_clip(network, read, blur.shape[1], tiling, scale=scale, divisor=divisor, instant=instant)
    return torch.cat(list(parts), dim=1)


def stream_clip(
    network: Network,
    read: Callable[[int, int], tuple[Tensor, Tensor | None]],
    length: int,
    tiling: Tiling,
    *,
    first: int = 0,
    scale: int = 1,
    divisor: int = 8,
    instant: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yield the restored frames (B, t, 3, s*H, s*W) of a clip of any length in time order, as they are finished.

    At most two tiles along time are in memory. The restored frames do not depend on ``first``.

    Args:
        network: See :func:`restore_clip`, also for the arguments that are not listed here.
        read: ``read(start, stop)`` returns the prepared blurred frames and spikes of these frames.
        length: T, frames of the clip.
        first: The first frame to yield.
    """
    cut = cut_axis(length, tiling.tile[0], tiling.overlap[0], blend=tiling.blend, axis='frames')
    ends = [*cut.starts[1:], length]
    unfinished: Tensor | None = None  # weighted sums of the frames that the next tile also covers
    for start, end, weights in zip(cut.starts, ends, cut.weights, strict=True):
        if first >= start + int(weights.nonzero().max()) + 1:
            continue
        blur, spikes = read(start, start + cut.size)
        at_instant = network if instant is None else with_instant(network, instant[:, start : start + cut.size])
        restored = restore_frames(at_instant, blur, spikes, tiling, scale, divisor)
        weighted = restored * weights.to(blur.device).view(-1, 1, 1, 1)
        if unfinished is not None:
            weighted[:, : unfinished.shape[1]] += unfinished
        finished = weighted[:, max(first - start, 0) : end - start]
        if finished.shape[1]:
            yield finished
        unfinished = weighted[:, end - start :]


def with_instant(network: Callable[[Tensor, Tensor | None, Tensor], Tensor], instant: Tensor) -> Network:
    """Return the network for batches of tiles of the same frames, whose instants are (B, T)."""

    def run(blur: Tensor, spikes: Tensor | None) -> Tensor:
        return network(blur, spikes, instant.repeat(len(blur) // len(instant), 1))

    return run


def restore_frames(
    network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, scale: int = 1, divisor: int = 8
) -> Tensor:
    """Restore all frames of a clip together, cut in space only; see :func:`restore_clip` for the arguments."""
    run = with_precision(with_reflections(network) if tiling.ensemble else network, tiling.precision)
    cuts, ratios = [], []
    for i in (1, 2):
        rgb = blur.shape[i + 2]
        spike = rgb if spikes is None else spikes.shape[i + 2]
        step = grid_step(rgb, spike, divisor)
        name = f'{AXES[i]} pixels'
        cuts.append(cut_axis(rgb, tiling.tile[i], tiling.overlap[i], blend=tiling.blend, multiple=step, axis=name))
        ratios.append(Fraction(spike, rgb))
    rows, columns = cuts
    if len(rows.starts) == len(columns.starts) == 1:
        return run(blur, spikes).float()
    restored = blur.new_zeros((*blur.shape[:2], 3, scale * rows.length, scale * columns.length), dtype=torch.float32)
    indices = list(itertools.product(range(len(rows.starts)), range(len(columns.starts))))
    for start in range(0, len(indices), tiling.tiles_per_batch):
        batch = indices[start : start + tiling.tiles_per_batch]
        corners = [(rows.starts[i], columns.starts[j]) for i, j in batch]
        sides = rows.size, columns.size
        tiles = run(
            torch.cat([crop(blur, corner, sides) for corner in corners]),
            None if spikes is None else torch.cat([crop(spikes, corner, sides, ratios) for corner in corners]),
        )
        for (i, j), corner, tile in zip(batch, corners, tiles.float().split(len(blur)), strict=True):
            weights = torch.outer(rows.weights[i], columns.weights[j]).to(tile.device)
            weights = weights.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
            target = crop(restored, [scale * c for c in corner], [scale * s for s in sides])
            target += tile * weights
    return restored


def crop(maps: Tensor, corner, sides, ratios=(1, 1)) -> Tensor:
    """Return a rectangle of (..., H, W) as a view; ``ratios`` are pixels of ``maps`` per unit of corner and sides."""
    top, left = (int(start * ratio) for start, ratio in zip(corner, ratios, strict=True))
    height, width = (int(side * ratio) for side, ratio in zip(sides, ratios, strict=True))
    return maps[..., top : top + height, left : left + width]


def with_precision(network: Network, precision: str) -> Network:
    """Return the network under autocast, or itself for ``'float32'``."""
    if precision == 'float32':
        return network

    def run(blur: Tensor, spikes: Tensor | None) -> Tensor:
        with torch.autocast(blur.device.type, getattr(torch, precision)):
            return network(blur, spikes)

    return run
