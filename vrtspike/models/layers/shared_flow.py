"""Computes the flow between frames once where a network restores the same frames several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.models.layers.flow import SharedPyramidFlow, SpyNet
from vrtspike.models.layers.spike_flow import SCFlow

Memory = list[tuple[Tensor, Tensor, Any]]
"""Reference and neighbour, and the result of a flow network for them."""


@contextmanager
def shared_flow(network: nn.Module) -> Iterator[Callable[[], None]]:
    """Let the flow networks in ``network`` return their earlier results for equal frames, in a ``with`` block.

    Yields:
        A function that forgets them: call it when other frames follow.
    """
    memories: list[Memory] = []
    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, (SpyNet, SharedPyramidFlow, SCFlow)):
                memories.append([])
                module.forward = remembering(module.forward, memories[-1])
                stack.callback(delattr, module, 'forward')
        yield lambda: [memory.clear() for memory in memories]


def remembering(compute: Callable[[Tensor, Tensor], Any], memory: Memory) -> Callable[[Tensor, Tensor], Any]:
    """Return ``compute`` for two frames (N, C, H, W) with a memory of its results."""

    def run(reference: Tensor, neighbour: Tensor) -> Any:
        for *frames, result in memory:
            if all(map(torch.equal, frames, (reference, neighbour))):
                return result
        memory.append((reference, neighbour, compute(reference, neighbour)))
        return memory[-1][-1]

    return run
