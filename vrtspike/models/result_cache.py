"""Caches what is the same at every instant of the same frames.

That is the flow, and the features before the first fusion with spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vrtspike.models.layers.flow import SharedPyramidFlow, SpyNet
from vrtspike.models.layers.spike_flow import SCFlow

#: Maximum size of the cache. Results that do not fit, as those of large tiles may not, are computed again.
MAX_BYTES = 2**30


class CachedResult(NamedTuple):
    """The output of a module, with the module and the inputs that it belongs to."""

    module: nn.Module
    inputs: tuple
    output: Any


@contextmanager
def cached_results(network: nn.Module, max_bytes: int = MAX_BYTES) -> Iterator[Callable[[], None]]:
    """Let parts of a restorer return their earlier results for equal inputs, in a ``with`` block.

    Cached parts are the flow networks and the modules that see neither spikes nor the estimates of an instant.

    Args:
        network: A :class:`~vrtspike.models.restorer.SpikeRestorer`, or another network with flow networks.
        max_bytes: Maximum size of the cache in bytes.

    Yields:
        A function that clears the cache: call it before moving on to other frames.
    """
    parts = [each for each in network.modules() if isinstance(each, (SpyNet, SharedPyramidFlow, SCFlow))]
    parts += getattr(network, 'parts_before_instant', list)()
    results: list[CachedResult] = []
    with ExitStack() as stack:
        for module in parts:
            module.forward = with_cache(module, results, max_bytes)
            stack.callback(delattr, module, 'forward')
        yield results.clear


def with_cache(module: nn.Module, results: list[CachedResult], max_bytes: int) -> Callable[..., Any]:
    """Return the forward function of a module, with a cache of its results."""
    compute = module.forward

    def run(*inputs: Any) -> Any:
        for found in results:
            if found.module is module and all(map(equal, tree_leaves(found.inputs), tree_leaves(inputs))):
                return found.output
        output = compute(*inputs)
        if sum(bytes_of(found.output) for found in results) + bytes_of(output) <= max_bytes:
            results.append(CachedResult(module, inputs, output))
        return output

    return run


def equal(one: Any, other: Any) -> bool:
    """Return whether two inputs of a module are the same."""
    return one is other or (isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other))


def bytes_of(value: Any) -> int:
    """Return the bytes of the tensors in a value."""
    return sum(each.nbytes for each in tree_leaves(value) if isinstance(each, Tensor))
