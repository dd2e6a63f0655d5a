"""The last layer of a gated MLP (GEGLU, arXiv 2002.05202) with the gate before it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vrtspike.ops.backends import Backend, Request
from vrtspike.ops.gated_linear.backends import GATED_LINEAR
from vrtspike.ops.gated_linear.reference import reference
from vrtspike.ops.trial_outcomes import measures
from vrtspike.ops.trials import Trial, values_and_gradients
from vrtspike.runtime.device import in_graph

SMALL_ROWS = 100


def gated_linear(
    x: Tensor,
    gate: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    input_biases: tuple[Tensor, Tensor] | None = None,
    backend: str = 'auto',
) -> Tensor:
    """Return ``linear(gelu(x) * gate)``.

    Compilers and tracers get plain operators: a compiler decides by itself what to recompute, and a tracer cannot see
    into a custom autograd function.

    Args:
        x: Map (..., C).
        gate: Map of the same shape and type.
        weight: (C', C).
        bias: (C',), or None for nothing.
        input_biases: (C,) each, of the layers that made ``x`` and ``gate``, added before the gate. None: they have none
            or have been added. A kernel for GPUs sums their gradients while it writes those of the maps.
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.gated_linear.backends.GATED_LINEAR`.

    Returns:
        The map (..., C').
    """
    inputs = x, gate, weight, bias, input_biases
    if in_graph():
        return reference(*inputs)
    trial = trial_of(*inputs) if measures(x) else None
    return GATED_LINEAR.choose(x, Request(backend, trial)).run(*inputs)


def trial_of(
    x: Tensor,
    gate: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    input_biases: tuple[Tensor, Tensor] | None = None,
) -> Trial:
    """Return the call on which the backends are compared; the number of tokens counts in powers of two."""
    given = [x, gate, weight, bias, *(input_biases or (None, None))]
    trains = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in given)
    tokens = max(1, x.shape[:-1].numel())
    biases = ', with biases' if input_biases else ''
    shape = f'of {weight.shape[1]} to {weight.shape[0]} channels{biases}, up to {1 << (tokens - 1).bit_length()} tokens'

    def run(chosen: Backend, inputs: list[Tensor | None]) -> list[Tensor]:
        def layer(x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor | None, *biases: Tensor | None) -> Tensor:
            return chosen.run(x, gate, weight, bias, biases if input_biases else None)

        return values_and_gradients(layer, inputs, trains=trains)

    def small(chosen: Backend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)

        def made(each: Tensor | None, size: tuple[int, ...]) -> Tensor | None:
            if each is None:
                return None
            return convert(torch.randn(size, generator=generator, device='cpu').to(x.device, x.dtype))

        sizes = [(SMALL_ROWS, x.shape[-1])] * 2 + [None if each is None else each.shape for each in given[2:]]
        return run(chosen, [made(*each) for each in zip(given, sizes, strict=True)])

    def real(chosen: Backend) -> None:
        run(chosen, [None if each is None else each.detach().to(x.dtype) for each in given])

    return Trial(shape, x.device, x.dtype, trains, small, real)
