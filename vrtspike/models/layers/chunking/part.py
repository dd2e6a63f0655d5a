"""The base of parts that run over their maps in chunks, and a record of how each map was cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.models.layers.checks import check_maps
from vrtspike.models.layers.chunking.split import ChunkOptions, chunk_sizes, map_chunks
from vrtspike.models.layers.chunking.tuning import tuned_options

MODES = ('rules', 'auto')


@dataclass(frozen=True)
class ChunkUse:
    """How the latest map of a part was cut.

    Args:
        batch: B.
        size: (H, W) of the map, padded to whole windows if the part works in windows.
        chunk: (h, w) of the chunks; the last ones may be smaller.
        options: The options that determined the size of the chunks; with ``chunks='auto'``, the fastest options found.
    """

    batch: int
    size: tuple[int, int]
    chunk: tuple[int, int]
    options: ChunkOptions

    @property
    def count(self) -> int:
        """How many chunks the map was cut into."""
        return -(-self.size[0] // self.chunk[0]) * -(-self.size[1] // self.chunk[1])


class ChunkedPart(nn.Module):
    """Base of the parts that process maps in chunks to bound memory; the result does not depend on the chunks.

    Args:
        channels: C, of every map.
        chunks: ``'rules'`` sizes the chunks by the four options below. ``'auto'`` takes the fastest size that fits into
            free memory; it is timed on this device once per size of map.
        adaptive_chunk: Fit the chunks to the batch size, see
            :class:`~vrtspike.models.layers.chunking.split.ChunkOptions`.
        max_batch_tokens: With ``adaptive_chunk``, the most sequences in one chunk.
        chunk_size: Its square is the largest area of a chunk, in pixels.
        chunk_shape: With ``adaptive_chunk``, ``'square'``, ``'wide'`` or ``'tall'``.

    Raises:
        ConfigError: An argument is invalid.
    """

    window = (1, 1)
    """Height and width of the windows that a chunk must not cut."""

    def __init__(
        self,
        channels: int,
        chunks: str = 'rules',
        adaptive_chunk: bool = True,
        max_batch_tokens: int = 49152,
        chunk_size: int = 64,
        chunk_shape: str = 'square',
    ) -> None:
        super().__init__()
        if chunks not in MODES:
            raise ConfigError(f'{type(self).__name__}: chunks={chunks!r}{did_you_mean(chunks, MODES)}')
        self.channels = channels
        self.chunks = ChunkOptions(adaptive_chunk, max_batch_tokens, chunk_size, chunk_shape)
        self.auto_chunks = chunks == 'auto'
        self.chunk_use: ChunkUse | None = None

    def map_chunks(self, function: Callable[..., Tensor], *maps: Tensor) -> Tensor:
        """Apply ``function`` to the chunks of ``maps``.

        See :func:`vrtspike.models.layers.chunking.split.map_chunks`.
        """
        options = self.chunks
        if self.auto_chunks:
            options = tuned_options(function, maps, self.chunks, self.window, key=(type(self), *self.cost_key()))
        if not torch.compiler.is_compiling():
            batch, _, _, *size = maps[0].shape
            sides = chunk_sizes(batch, *size, options, self.window)
            self.chunk_use = ChunkUse(batch, tuple(size), sides, options)
        return map_chunks(function, options, *maps, window=self.window)

    def cost_key(self) -> tuple:
        """Return what, besides the class and the maps, determines the cost of a chunk."""
        return tuple(tuple(parameter.shape) for parameter in self.parameters())

    def check_maps(self, **maps: Tensor) -> None:
        """Raise :class:`ConfigError` unless all maps have the same shape (B, C, T, H, W) with this part's C."""
        check_maps(self, self.channels, **maps)
