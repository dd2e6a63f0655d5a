"""What chunked parts did, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from torch import nn

from vrtspike.models.layers.chunking.part import ChunkedPart, ChunkUse
from vrtspike.models.layers.chunking.split import ChunkOptions, chunk_sizes
from vrtspike.reporting.table import Table

DEFAULTS = ChunkOptions()
LARGEST_BATCH = 64
"""Batches up to here are searched for the first at which an option matters."""


def chunk_report(model: nn.Module, title: str) -> str:
    """Return a table of the latest chunks of every part, and a line for every option that changes nothing.

    Empty where no part of ``model`` has cut a map yet.
    """
    parts = [(name, part) for name, part in model.named_modules() if _has_run(part)]
    if not parts:
        return ''
    rows = [[name, *_cells(part.chunk_use), 'auto' if part.auto_chunks else 'rules'] for name, part in parts]
    lines = dict.fromkeys(line for _, part in parts if not part.auto_chunks for line in _idle_of(part))
    table = Table(title=title, columns=['part', 'B', 'map', 'chunk', 'chunks', 'sized by'], rows=rows)
    return '\n'.join([table.text(), *lines])


def idle_options(use: ChunkUse, window: tuple[int, int] = (1, 1)) -> Iterator[str]:
    """Yield a sentence for every option that differs from its default and leaves the chunks as the default does.

    Args:
        use: How a map was cut.
        window: Height and width of what a chunk must not cut.
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


def _idle_of(part: ChunkedPart) -> Iterator[str]:
    for line in idle_options(part.chunk_use, part.window):
        yield f'  {type(part).__name__}: {line}.'


def _first_batch(use: ChunkUse, other: ChunkOptions, window: tuple[int, int]) -> int | None:
    """Return the first larger batch at which the options in use cut otherwise than ``other``."""
    for batch in range(use.batch + 1, LARGEST_BATCH + 1):
        one, two = (chunk_sizes(batch, *use.size, options, window) for options in (use.options, other))
        if one != two:
            return batch
    return None


def _has_run(part: nn.Module) -> bool:
    return isinstance(part, ChunkedPart) and part.chunk_use is not None


def _cells(use: ChunkUse) -> list[str]:
    return [str(use.batch), f'{use.size[0]}x{use.size[1]}', f'{use.chunk[0]}x{use.chunk[1]}', str(use.count)]


def _chunks(count: int) -> str:
    return 'one chunk' if count == 1 else f'{count} chunks'
