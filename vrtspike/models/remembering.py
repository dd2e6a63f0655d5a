"""Computes once what several instants of the same frames share: flow, and the features before the first spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vrtspike.models.layers.flow import SharedPyramidFlow, SpyNet
from vrtspike.models.layers.spike_flow import SCFlow

#: Bytes of results that are remembered at most. What exceeds it, as tiles of a large frame may, is computed again.
BUDGET = 2**30


class Result(NamedTuple):
    """What a module returned, and the module and inputs it belongs to."""

    module: nn.Module
    inputs: tuple
    output: Any


@contextmanager
def remembering(network: nn.Module, budget: int = BUDGET) -> Iterator[Callable[[], None]]:
    """Let parts of a restorer return their earlier results for equal inputs, in a ``with`` block.

    They are its flow networks, and what sees neither spikes nor estimates of an instant.

    Args:
        network: A :class:`~vrtspike.models.restorer.SpikeRestorer`, or another network with flow networks.
        budget: Bytes of results to remember at most.

    Yields:
        A function that forgets them: call it when other frames follow.
    """
    parts = [each for each in network.modules() if isinstance(each, (SpyNet, SharedPyramidFlow, SCFlow))]
    parts += getattr(network, 'parts_before_instant', list)()
    results: list[Result] = []
    with ExitStack() as stack:
        for module in parts:
            module.forward = with_memory(module, results, budget)
            stack.callback(delattr, module, 'forward')
        yield results.clear


def with_memory(module: nn.Module, results: list[Result], budget: int) -> Callable[..., Any]:
    """Return the forward function of a module with a memory of its results."""
    compute = module.forward

    def run(*inputs: Any) -> Any:
        for found in results:
            if found.module is module and all(map(equal, tree_leaves(found.inputs), tree_leaves(inputs))):
                return found.output
        output = compute(*inputs)
        if sum(bytes_of(found.output) for found in results) + bytes_of(output) <= budget:
            results.append(Result(module, inputs, output))
        return output

    return run


def equal(one: Any, other: Any) -> bool:
    """Return whether two inputs of a module are the same."""
    return one is other or (isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other))


def bytes_of(value: Any) -> int:
    """Return the bytes of the tensors in a value."""
    return sum(each.nbytes for each in tree_leaves(value) if isinstance(each, Tensor))
