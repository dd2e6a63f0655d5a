"""Chunks sized by measuring: ``chunks='auto'``.

Larger chunks need fewer calls and more memory, and on some devices fall out of the cache. Which size is fastest is
measured once per kind of part and size of map, on the maps themselves, among the sizes that fit into a share of the
free memory.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import isqrt

import torch
from torch import Tensor

from vrtspike.models.layers.chunking.split import MAX_SEQUENCES, ChunkOptions, chunk_sizes, map_chunks
from vrtspike.runtime.device import call_seconds, free_memory

MEMORY_SHARE = 0.25
"""Of the free memory, the most that the working memory of one chunk may take."""

VALUES_PER_CHANNEL = 16
"""Values alive at once per token and channel: normed inputs, query, key, value, result, hidden layer of the MLP."""

AREAS = (1024, 4096, 16384, MAX_SEQUENCES)
"""Candidate areas of a chunk, in pixels."""

REPEATS = 2

_found: dict[Hashable, ChunkOptions] = {}


def tuned_options(
    function: Callable[..., Tensor],
    maps: Sequence[Tensor],
    fallback: ChunkOptions,
    window: tuple[int, int] = (1, 1),
    key: Hashable = (),
) -> ChunkOptions:
    """Return the options whose chunks of ``maps`` take ``function`` the least time on this device.

    The finding is kept for the life of the process. Nothing is measured where no numbers are computed or a graph is
    being captured (meta tensors, compilation): there ``fallback`` serves.

    Args:
        function: As :func:`~vrtspike.models.layers.chunking.split.map_chunks` takes it.
        maps: Feature maps (B, C, T, H, W).
        fallback: Options that decide where nothing can be measured.
        window: Height and width of what a chunk must not cut.
        key: What besides the maps decides the cost.
    """
    first = maps[0]
    if torch.compiler.is_compiling() or first.device.type == 'meta' or type(first) not in (Tensor, torch.nn.Parameter):
        return fallback
    situation = (key, first.device, first.dtype, torch.is_autocast_enabled(first.device.type), tuple(first.shape))
    if situation not in _found:
        options = candidates(first, len(maps), free_memory(first.device), window)
        _found[situation] = fastest(function, maps, options, window)
    return _found[situation]


def candidates(first: Tensor, inputs: int, free_bytes: int, window: tuple[int, int] = (1, 1)) -> list[ChunkOptions]:
    """Return options of different chunks, each within :data:`MEMORY_SHARE` of ``free_bytes``; the smallest always.

    Args:
        first: One of the maps.
        inputs: How many maps there are.
        free_bytes: Free memory of the device.
        window: Height and width of what a chunk must not cut.
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
    """Return the one of ``options`` that takes the least time; a clock is asked only where there is a choice."""
    if len(options) == 1:
        return options[0]
    detached = [each.detach() for each in maps]
    device = detached[0].device
    # Dropout must not draw other numbers in training because something was measured.
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == 'cuda' else []):
        times = [_seconds(lambda each=each: map_chunks(function, each, *detached, window=window), device)
                 for each in options]  # fmt: skip
    return options[times.index(min(times))]


def forget() -> None:
    """Forget what was measured in this process."""
    _found.clear()


def _seconds(call: Callable[[], Tensor], device: torch.device) -> float:
    """Return the least time of some calls, after one that warms up."""
    call()
    return min(call_seconds(call, device) for _ in range(REPEATS))
