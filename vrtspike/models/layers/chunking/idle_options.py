"""Finds chunk options that were set but change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from vrtspike.models.layers.chunking.part import ChunkUse
from vrtspike.models.layers.chunking.split import ChunkOptions, chunk_sizes

DEFAULTS = ChunkOptions()
LARGEST_BATCH = 64
"""The largest batch size tried when looking for the first at which an option matters."""


def idle_options(use: ChunkUse, window: tuple[int, int] = (1, 1)) -> Iterator[str]:
    """Yield a sentence for every option that differs from its default but cuts the map into the same chunks.

    Args:
        use: How a map was cut.
        window: Height and width of the windows that a chunk must not cut.
    """
    for field in fields(ChunkOptions):
        value, default = getattr(use.options, field.name), getattr(DEFAULTS, field.name)
        other = replace(use.options, **{field.name: default})
        if value == default or chunk_sizes(use.batch, *use.size, other, window) != use.chunk:
            continue
        sentence = (
            f'{field.name}={value!r} changes nothing for maps of {use.size[0]}x{use.size[1]} at B = {use.batch}: '
            f'{_chunks(use.count)}, as with {default!r}'
        )
        first = _first_batch(use, other, window)
        yield f'{sentence}; it first matters at B = {first}' if first else sentence


def _first_batch(use: ChunkUse, other: ChunkOptions, window: tuple[int, int]) -> int | None:
    """Return the smallest larger batch size at which the options in use cut differently from ``other``."""
    for batch in range(use.batch + 1, LARGEST_BATCH + 1):
        one, two = (chunk_sizes(batch, *use.size, options, window) for options in (use.options, other))
        if one != two:
            return batch
    return None


def _chunks(count: int) -> str:
    return 'one chunk' if count == 1 else f'{count} chunks'
