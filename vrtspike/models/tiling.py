"""Space-time tiling: a network of bounded size restores clips of any size and length.

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
    """How clips are cut into tiles, and how the restored tiles become one clip again.

    Neighbouring tiles share at least ``overlap``; in its middle one fades into the other, linearly over ``blend`` of
    it, and what lies nearer to a tile's border is thrown away. With ``blend=0`` the result is exactly that of the whole
    clip where the network's receptive field is no larger than the overlap.

    Args:
        tile: Frames, height and width of a tile, in pixels of the input RGB; 0 takes the whole axis.
        overlap: Frames, rows and columns that neighbouring tiles share at least.
        blend: Part of the overlap over which tiles fade into each other, from 0 (one is cut off where the other
            begins) to 1.
        tiles_per_batch: How many tiles of one time the network restores at once.
        precision: ``'float32'``, or ``'bfloat16'`` or ``'float16'`` for autocast.
        ensemble: Whether every tile is restored in its eight reflections and rotations, whose mean is taken.

    Raises:
        ConfigError: Sizes are negative, or an overlap leaves a tile nothing of its own.
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
                    f'tiling: tiles of {size} {axis} cannot overlap by {overlap}: nothing is left between their '
                    f'overlaps; choose an overlap below {size}, or larger tiles'
                )
        if not 0 <= self.blend <= 1 or self.tiles_per_batch < 1:
            raise ConfigError(f'tiling: {self.blend=} (0 to 1), {self.tiles_per_batch=} (at least 1)')
        if self.precision not in ('float32', 'bfloat16', 'float16'):
            raise ConfigError(f"tiling: precision={self.precision!r}, expected 'float32', 'bfloat16' or 'float16'")


@dataclass(frozen=True)
class Cut:
    """One axis cut into ``n`` tiles of equal size, with weights that sum to one at every position.

    Args:
        length: Of the axis.
        size: Of every tile.
        starts: Where the tiles begin, ascending.
        weights: (n, size), what a tile's positions weigh.
    """

    length: int
    size: int
    starts: list[int]
    weights: Tensor


def cut_axis(length: int, size: int, overlap: int, *, blend: float = 0.5, multiple: int = 1, axis: str = 'axis') -> Cut:
    """Cut an axis into tiles that overlap by ``overlap`` at least, evenly spread.

    Args:
        length: Of the axis, a multiple of ``multiple``.
        size: Of a tile, a multiple of ``multiple``; 0 or more than ``length`` takes the whole axis.
        overlap: Least overlap of neighbours.
        blend: See :class:`Tiling`.
        multiple: Tiles begin at multiples of it.
        axis: What the axis is called in errors.

    Raises:
        ConfigError: The size is no multiple, or the overlap leaves no step of ``multiple`` between tiles.
    """
    size = min(size or length, length)
    if size == length:
        return Cut(length, size, [0], torch.ones(1, size))
    if size % multiple:
        raise ConfigError(
            f'tiling: tiles of {size} {axis} do not lie on the common grid of frames, spikes and network: choose a '
            f'multiple of {multiple}'
        )
    stride = (size - overlap) // multiple * multiple
    if stride < 1:
        raise ConfigError(
            f'tiling: tiles of {size} {axis} that overlap by {overlap} cannot begin at multiples of {multiple}: choose '
            f'an overlap of at most {size - multiple}, or larger tiles'
        )
    count = -(-(length - size) // stride) + 1
    steps = (length - size) // multiple
    starts = [i * steps // (count - 1) * multiple for i in range(count)]
    return Cut(length, size, starts, partition_of_unity(length, size, starts, blend))


def partition_of_unity(length: int, size: int, starts: list[int], blend: float) -> Tensor:
    """Return the weights (n, size) of tiles along an axis: where two overlap one fades into the other.

    A tile weighs the fade-in at its beginning minus that of the next tile, so that the sum telescopes to one.
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
    """Return the least number of RGB pixels that is a multiple of ``divisor`` and a whole number of spike pixels."""
    return math.lcm(divisor, Fraction(rgb, spike).numerator)


def restore_clip(
    network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, *, scale: int = 1, divisor: int = 8
) -> Tensor:
    """Restore a whole clip tile by tile.

    Args:
        network: What restores a tile; it keeps the number of frames.
        blur: Prepared frames (B, T, 3, H, W); their sides are multiples of ``divisor``.
        spikes: Prepared voxels (B, T, K, Hs, Ws) of the same part of the scene; H / Hs and W / Ws may be any ratios.
        tiling: How the clip is cut.
        scale: s, by which the network enlarges frames.
        divisor: Tiles begin at multiples of it, as the network's own padding does.

    Returns:
        (B, T, 3, s*H, s*W) float32.
    """

    def read(start: int, stop: int) -> tuple[Tensor, Tensor | None]:
        return blur[:, start:stop], None if spikes is None else spikes[:, start:stop]

    parts = stream_clip(network, read, blur.shape[1], tiling, scale=scale, divisor=divisor)
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
) -> Iterator[Tensor]:
    """Yield the restored frames (B, t, 3, s*H, s*W) of a clip of any length in time order, as they are finished.

    At most two tiles in time are held. Whatever ``first`` is, a frame's value is the same.

    Args:
        read: From (start, stop) to the prepared frames and spikes of these frames, as for :func:`restore_clip`.
        length: T, frames of the clip.
        first: The first frame that is wanted; earlier ones are not restored.
    """
    cut = cut_axis(length, tiling.tile[0], tiling.overlap[0], blend=tiling.blend, axis='frames')
    ends = [*cut.starts[1:], length]
    held: Tensor | None = None  # frames from the tile's start on that earlier tiles have added to
    for start, end, weights in zip(cut.starts, ends, cut.weights, strict=True):
        if first >= start + int(weights.nonzero().max()) + 1:
            continue
        blur, spikes = read(start, start + cut.size)
        added = restore_frames(network, blur, spikes, tiling, scale, divisor) * weights.to(blur.device).view(
            -1, 1, 1, 1
        )
        if held is not None:
            added[:, : held.shape[1]] += held
        done = added[:, max(first - start, 0) : end - start]
        if done.shape[1]:
            yield done
        held = added[:, end - start :]


def restore_frames(
    network: Network, blur: Tensor, spikes: Tensor | None, tiling: Tiling, scale: int = 1, divisor: int = 8
) -> Tensor:
    """Restore all frames of a clip at once, cut in space only; shapes as for :func:`restore_clip`."""
    run = with_precision(with_reflections(network) if tiling.ensemble else network, tiling.precision)
    cuts, ratios = [], []
    for i in (1, 2):
        rgb = blur.shape[i + 2]
        spike = rgb if spikes is None else spikes.shape[i + 2]
        step = grid_step(rgb, spike, divisor)
        cuts.append(
            cut_axis(
                rgb, tiling.tile[i], tiling.overlap[i], blend=tiling.blend, multiple=step, axis=f'{AXES[i]} pixels'
            )
        )
        ratios.append(Fraction(spike, rgb))
    rows, columns = cuts
    if len(rows.starts) == len(columns.starts) == 1:
        return run(blur, spikes).float()
    restored = blur.new_zeros((*blur.shape[:2], 3, scale * rows.length, scale * columns.length), dtype=torch.float32)
    places = list(itertools.product(range(len(rows.starts)), range(len(columns.starts))))
    for begin in range(0, len(places), tiling.tiles_per_batch):
        batch = places[begin : begin + tiling.tiles_per_batch]
        corners = [(rows.starts[i], columns.starts[j]) for i, j in batch]
        sides = rows.size, columns.size
        tiles = run(
            torch.cat([crop(blur, corner, sides) for corner in corners]),
            None if spikes is None else torch.cat([crop(spikes, corner, sides, ratios) for corner in corners]),
        )
        for (i, j), corner, tile in zip(batch, corners, tiles.float().split(len(blur)), strict=True):
            weights = torch.outer(enlarged(rows.weights[i], scale), enlarged(columns.weights[j], scale))
            place = crop(restored, [scale * c for c in corner], [scale * s for s in sides])
            place += tile * weights.to(tile.device)
    return restored


def crop(maps: Tensor, corner, sides, ratios=(1, 1)) -> Tensor:
    """Return the part of (..., H, W) at a corner and with sides that are given in pixels times 1 / ``ratios``."""
    top, left = (int(start * ratio) for start, ratio in zip(corner, ratios, strict=True))
    height, width = (int(side * ratio) for side, ratio in zip(sides, ratios, strict=True))
    return maps[..., top : top + height, left : left + width]


def enlarged(weights: Tensor, scale: int) -> Tensor:
    """Return weights of pixels for pixels that are ``scale`` times as small."""
    return weights.repeat_interleave(scale)


def with_precision(network: Network, precision: str) -> Network:
    """Return the network under autocast, or itself for ``'float32'``."""
    if precision == 'float32':
        return network

    def run(blur: Tensor, spikes: Tensor | None) -> Tensor:
        with torch.autocast(blur.device.type, getattr(torch, precision)):
            return network(blur, spikes)

    return run
