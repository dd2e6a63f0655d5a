"""Sizes chunks by timing them: ``chunks='auto'``.

Larger chunks need fewer calls but more memory, and on some devices they no longer fit into the cache. The fastest size
that fits into a share of the free memory is found by timing, once per kind of part and size of map.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import isqrt

import torch
from torch import Tensor

from vrtspike.models.layers.chunking.split import MAX_SEQUENCES, ChunkOptions, chunk_sizes, map_chunks
from vrtspike.runtime.device import call_seconds, free_memory

MEMORY_SHARE = 0.25
"""The share of the free memory that one chunk may need."""

VALUES_PER_CHANNEL = 16
"""Values in memory at once per token and channel: normed inputs, query, key, value, result, the MLP's hidden layer."""

AREAS = (1024, 4096, 16384, MAX_SEQUENCES)
"""Candidate areas of a chunk, in pixels."""

REPEATS = 2

_fastest_options: dict[Hashable, ChunkOptions] = {}


def tuned_options(
    function: Callable[..., Tensor],
    maps: Sequence[Tensor],
    fallback: ChunkOptions,
    window: tuple[int, int] = (1, 1),
    key: Hashable = (),
) -> ChunkOptions:
    """Return the chunk options with which ``function`` is fastest for ``maps`` on this device.

    The result is cached in this process. For meta tensors, and while a graph is captured, nothing can be timed and
    ``fallback`` is returned.

    Args:
        function: The argument of :func:`~vrtspike.models.layers.chunking.split.map_chunks`.
        maps: Feature maps (B, C, T, H, W).
        fallback: The options to return if nothing can be timed.
        window: Height and width of the windows that a chunk must not cut.
        key: Everything besides the maps that determines the cost.
    """
    first = maps[0]
    if torch.compiler.is_compiling() or first.device.type == 'meta' or type(first) not in (Tensor, torch.nn.Parameter):
        return fallback
    situation = (key, first.device, first.dtype, torch.is_autocast_enabled(first.device.type), tuple(first.shape))
    if situation not in _fastest_options:
        options = candidates(first, len(maps), free_memory(first.device), window)
        _fastest_options[situation] = fastest(function, maps, options, window)
    return _fastest_options[situation]


def candidates(first: Tensor, inputs: int, free_bytes: int, window: tuple[int, int] = (1, 1)) -> list[ChunkOptions]:
    """Return options for chunks of different sizes that fit into :data:`MEMORY_SHARE` of ``free_bytes``.

    The smallest size is always among them. ``first`` is the first of ``inputs`` maps.
    """
    batch, channels, frames, height, width = first.shape
    per_pixel = batch * channels * frames * (VALUES_PER_CHANNEL + inputs) * first.element_size()
    found: dict[tuple[int, int], ChunkOptions] = {}
    for area in AREAS:
        area = min(area, MAX_SEQUENCES // batch)
        options = ChunkOptions(max_batch_tokens=area * batch, chunk_size=isqrt(area - 1) + 1)
        chunk = chunk_sizes(batch, height, width, options, window)
        if not found or chunk[0] * chunk[1] * per_pixel <= MEMORY_SHARE * free_bytes:
            found.setdefault(chunk, options)
    return list(found.values())


def fastest(
    function: Callable[..., Tensor], maps: Sequence[Tensor], options: Sequence[ChunkOptions], window: tuple[int, int]
) -> ChunkOptions:
    """Return the fastest of ``options``; nothing is timed if there is only one."""
    if len(options) == 1:
        return options[0]
    detached = [each.detach() for each in maps]
    device = detached[0].device
    # Timing must not change the random numbers that dropout draws in training.
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == 'cuda' else []):
        times = [_seconds(partial(map_chunks, function, each, *detached, window=window), device) for each in options]
    return options[times.index(min(times))]


def forget() -> None:
    """Clear the cache of this process."""
    _fastest_options.clear()


def _seconds(call: Callable[[], Tensor], device: torch.device) -> float:
    """Return the shortest time of :data:`REPEATS` calls, after one to warm up."""
    call()
    return min(call_seconds(call, device) for _ in range(REPEATS))
