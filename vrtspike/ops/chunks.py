"""Computes in chunks of tokens on CPUs, so that intermediate results stay in the cache or in memory already in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vrtspike.ops.residual import add_scaled

ROWS_PER_THREAD = 8192
"""Tokens per thread and chunk. With 96 and 120 channels, no size from 1024 to 8192 was clearly faster."""


def works_in_chunks(x: Tensor) -> bool:
    """Return whether to compute in chunks: in inference on CPUs, outside compiled graphs.

    Training saves its intermediate results anyway, GPUs want large calls, and compilers choose chunks themselves.
    """
    return not torch.is_grad_enabled() and x.device.type == 'cpu' and not torch.compiler.is_compiling()


def chunk_rows() -> int:
    """Return how many tokens a chunk has."""
    return ROWS_PER_THREAD * torch.get_num_threads()


def joined(chunks: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the chunks as one tensor; a single one is not copied."""
    return torch.cat(list(chunks), dim) if len(chunks) > 1 else chunks[0]


def map_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ``function(x)`` of a map (..., C), computed in chunks; ``function`` must treat every token by itself."""
    if not works_in_chunks(x) or x.shape[:-1].numel() <= chunk_rows():
        return function(x)
    return torch.cat([function(chunk) for chunk in x.flatten(0, -2).split(chunk_rows())]).unflatten(0, x.shape[:-1])


def add_to_rows(function: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor, scale: float) -> Tensor:
    """Return ``x + scale * added`` of a map (..., C), computed as by :func:`map_rows`.

    Every chunk is written where it belongs in the sum.

    Args:
        function: ``function(x)`` returns ``x`` itself and ``added``, of no larger type. It may not change ``x``: it
            returns it for its gradient, see :func:`~vrtspike.ops.layer_norm_beside`.
        x: The map.
        scale: Factor on what is added.
    """
    if not works_in_chunks(x) or x.shape[:-1].numel() <= chunk_rows():
        return add_scaled(*function(x), scale)
    rows = x.flatten(0, -2)
    out = torch.empty_like(rows)
    for chunk, place in zip(rows.split(chunk_rows()), out.split(chunk_rows()), strict=True):
        torch.add(*function(chunk), alpha=scale, out=place)
    return out.view_as(x)


def row_chunks(x: Tensor) -> Iterator[slice]:
    """Yield slices that cover the rows of ``x``: chunks on CPUs, all rows at once elsewhere."""
    length = chunk_rows() if x.device.type == 'cpu' else max(1, len(x))
    for first in range(0, len(x), length):
        yield slice(first, first + length)
