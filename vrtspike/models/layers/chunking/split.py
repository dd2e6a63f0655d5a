"""Splits feature maps into chunks, to bound the memory of attention along time.

Each pixel is a separate sequence of T frames, so a map may be cut anywhere in space without changing the result. Only
the number of sequences in one call changes: B·h·w for a chunk of h x w.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt, sqrt

import torch
from torch import Tensor

from vrtspike.errors import ConfigError, did_you_mean, require_positive_integers

MAX_SEQUENCES = 65_535
"""The most sequences in one attention call: PyTorch's fused kernels fail at a batch of 65,536 or more."""

CHUNK_SHAPES = ('square', 'wide', 'tall')
ELONGATION = 1.25  # the longer side of a 'wide' or 'tall' chunk over the side of a square of the same area


@dataclass(frozen=True)
class ChunkOptions:
    """How large the chunks of a map are.

    Args:
        adaptive_chunk: Fit the chunks to the batch size; without it they are ``chunk_size`` x ``chunk_size``.
        max_batch_tokens: With ``adaptive_chunk``, the most sequences (clips x pixels; frames do not count) in one
            chunk. A chunk has at least one pixel, even if that exceeds the limit.
        chunk_size: Its square is the largest area of a chunk, in pixels.
        chunk_shape: With ``adaptive_chunk``, ``'square'``, ``'wide'`` or ``'tall'``.

    Raises:
        ConfigError: A number is not a positive integer or ``chunk_shape`` is unknown.
    """

    adaptive_chunk: bool = True
    max_batch_tokens: int = 49152
    chunk_size: int = 64
    chunk_shape: str = 'square'

    def __post_init__(self) -> None:
        require_positive_integers('chunks', max_batch_tokens=self.max_batch_tokens, chunk_size=self.chunk_size)
        if self.chunk_shape not in CHUNK_SHAPES:
            raise ConfigError(f'chunk_shape={self.chunk_shape!r}{did_you_mean(self.chunk_shape, CHUNK_SHAPES)}')


def chunk_sizes(
    batch: int, height: int, width: int, options: ChunkOptions, window: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Return the height and width in pixels of the chunks that a map of ``height`` x ``width`` is cut into.

    The last chunk of a row or column may be smaller. A chunk never has more than :data:`MAX_SEQUENCES` sequences: if
    the options ask for more, its longer side shrinks and there is a warning. For parts that work in windows, both sides
    are rounded down to whole windows, at least one.

    Raises:
        ConfigError: The batch alone has more clips than one attention call takes.
    """
    if batch > MAX_SEQUENCES:
        raise ConfigError(
            f'a batch of {batch} clips is too large: attention takes at most {MAX_SEQUENCES} sequences in one call; '
            'use a smaller batch size'
        )
    asked = _requested_sides(batch, height, width, options)
    sides = _shrink(*asked, area=MAX_SEQUENCES // batch)
    if sides != asked:
        warnings.warn(
            f'chunks of {asked[0]}x{asked[1]} pixels of {batch} clips exceed the {MAX_SEQUENCES} sequences that fused '
            f'attention kernels take in one call; using chunks of {sides[0]}x{sides[1]}. Lower chunk_size or '
            'max_batch_tokens to choose the size yourself',
            stacklevel=2,
        )
    return tuple(max(side // length, 1) * length for side, length in zip(sides, window, strict=True))


def map_chunks(
    function: Callable[..., Tensor], options: ChunkOptions, *maps: Tensor, window: tuple[int, int] = (1, 1)
) -> Tensor:
    """Apply ``function`` to the chunks of ``maps`` and join the results.

    Args:
        function: Takes one (B, C, T, h, w) chunk of every map, cut at the same place, and returns one of that size.
        options: How large the chunks are.
        maps: Feature maps (B, C, T, H, W) of one batch size, height and width.
        window: Height and width of the windows that a chunk must not cut.

    Returns:
        (B, C', T', H, W). If one chunk covers the map, nothing is split or copied, and the memory layout is that of
        the result of ``function``.
    """
    batch, _, _, height, width = maps[0].shape
    h, w = chunk_sizes(batch, height, width, options, window)
    # Split, not slice: the backward pass of a slice writes a whole map of zeros for every chunk.
    rows = zip(*(feature.split(h, dim=3) for feature in maps), strict=True)
    return _join([_map_row(function, w, row) for row in rows], dim=3)


def _map_row(function: Callable[..., Tensor], width: int, row: tuple[Tensor, ...]) -> Tensor:
    chunks = zip(*(feature.split(width, dim=4) for feature in row), strict=True)
    return _join([function(*chunk) for chunk in chunks], dim=4)


def _join(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)


def _requested_sides(batch: int, height: int, width: int, options: ChunkOptions) -> tuple[int, int]:
    """Return the size of chunk that the options ask for, within the map."""
    if not options.adaptive_chunk:
        return min(height, options.chunk_size), min(width, options.chunk_size)
    area = min(max(1, options.max_batch_tokens // batch), options.chunk_size**2)
    if options.chunk_shape == 'wide':
        h, w = _elongated(area, width)
    elif options.chunk_shape == 'tall':
        w, h = _elongated(area, height)
    else:
        h = w = isqrt(area)
    return min(height, h), min(width, w)


def _elongated(area: int, limit: int) -> tuple[int, int]:
    """Return the short and the long side of a chunk of at most ``area`` pixels; the long side is at most ``limit``."""
    long = min(limit, round(ELONGATION * sqrt(area)))
    return area // long, long


def _shrink(height: int, width: int, area: int) -> tuple[int, int]:
    """Shorten the longer side pixel by pixel until the chunk has no more than ``area`` pixels."""
    while height * width > area:
        if height > width:
            height -= 1
        else:
            width -= 1
    return height, width
