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

SMALL_ROWS = 100


def gated_linear(x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor, *, backend: str = 'auto') -> Tensor:
    """Return ``linear(gelu(x) * gate)``.

    Compilers and tracers get plain operators: a compiler decides by itself what to recompute, and a tracer cannot see
    into a custom autograd function.

    Args:
        x: Map (..., C).
        gate: Map of the same shape and type.
        weight: (C', C).
        bias: (C',).
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.gated_linear.backends.GATED_LINEAR`.

    Returns:
        The map (..., C').
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return reference(x, gate, weight, bias)
    trial = trial_of(x, gate, weight, bias) if measures(x) else None
    return GATED_LINEAR.choose(x, Request(backend, trial)).run(x, gate, weight, bias)


def trial_of(x: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Trial:
    """Return the call on which the backends are compared; the number of tokens counts in powers of two."""
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, gate, weight, bias))
    tokens = max(1, x.shape[:-1].numel())
    shape = f'of {weight.shape[1]} to {weight.shape[0]} channels, up to {1 << (tokens - 1).bit_length()} tokens'

    def small(chosen: Backend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        sizes = [(SMALL_ROWS, x.shape[-1])] * 2 + [weight.shape, bias.shape]
        inputs = [torch.randn(size, generator=generator, device='cpu').to(x.device, x.dtype) for size in sizes]
        return values_and_gradients(chosen.run, [convert(each) for each in inputs], trains=trains)

    def real(chosen: Backend) -> None:
        values_and_gradients(chosen.run, [each.detach().to(x.dtype) for each in (x, gate, weight, bias)], trains=trains)

    return Trial(shape, x.device, x.dtype, trains, small, real)
