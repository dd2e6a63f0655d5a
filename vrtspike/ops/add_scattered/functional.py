"""A map plus rows that are stored in another order, as the results of windows are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vrtspike.ops.add_scattered.backends import ADD_SCATTERED
from vrtspike.ops.add_scattered.reference import Addend, Norm
from vrtspike.ops.backends import Backend, PairBackend, Request
from vrtspike.ops.layer_norm import layer_norm_beside
from vrtspike.ops.rows import Order
from vrtspike.ops.trial_outcomes import measures
from vrtspike.ops.trials import SMALL_ROWS, Trial, shuffled, values_and_gradients

SMALL_EPS = 1e-5


def add_scattered(x: Tensor, addend: Addend, *, backend: str = 'auto') -> Tensor:
    """Return ``x + scale * (rows + bias)``, every row added to the token that it belongs to.

    Args:
        x: Map (..., C) of N tokens.
        addend: Rows, order, scale and bias.
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.add_scattered.backends.ADD_SCATTERED`.

    Returns:
        The map (..., C), of the larger type of both.
    """
    return _chosen(x, addend, backend).run(x.flatten(0, -2), addend).view_as(x)


def add_scattered_normed(x: Tensor, addend: Addend, norm: Norm, *, backend: str = 'auto') -> tuple[Tensor, Tensor]:
    """Return the sum of :func:`add_scattered`, and its normalised channels.

    A backend may compute both in one pass, and add the gradients of both in the kernel that makes one of them.
    """
    chosen = _chosen(x, addend, backend)
    rows = x.flatten(0, -2)
    if chosen.pair is None:
        summed, normed = layer_norm_beside(chosen.run(rows, addend), norm.weight, norm.bias, norm.eps)
    else:
        summed, normed = chosen.pair(rows, addend, norm)
    return summed.view_as(x), normed.view_as(x)


def _chosen(x: Tensor, addend: Addend, backend: str) -> PairBackend:
    if torch.jit.is_tracing():
        return ADD_SCATTERED.find('reference')
    return ADD_SCATTERED.choose(x, Request(backend, trial_of(x, addend) if measures(x) else None))


def trial_of(x: Tensor, addend: Addend) -> Trial:
    """Return the call on which the backends are compared; the number of rows counts in powers of two.

    Values and gradients of :func:`add_scattered_normed` are checked too.
    """
    chunks, order, _, bias = addend
    inputs = x, *chunks, *(() if bias is None else (bias,))
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    channels, count = x.shape[-1], max(1, sum(map(len, chunks)))
    types = f'{x.dtype} and {chunks[0].dtype}'.replace('torch.', '')
    kind = f'{"" if order else " in order"}{"" if bias is None else " with bias"}'
    shape = f'of {channels} channels{kind}, {types}, up to {1 << (count - 1).bit_length()} rows'

    def run(chosen: Backend, inputs: list[Tensor | None], order: Order | None) -> list[Tensor]:
        def sum_of(x: Tensor, bias: Tensor | None, *rows: Tensor) -> Tensor:
            return chosen.run(x, Addend(rows, order, addend.scale, bias))

        return values_and_gradients(sum_of, inputs, trains=trains)

    def run_both(chosen: PairBackend, inputs: list[Tensor | None], order: Order | None) -> list[Tensor]:
        def both(x: Tensor, bias: Tensor | None, weight: Tensor, shift: Tensor, *rows: Tensor) -> Tensor:
            summand = Addend(rows, order, addend.scale, bias)
            if chosen.pair:
                return sum(chosen.pair(x, summand, Norm(weight, shift, SMALL_EPS, x.dtype)))
            summed = chosen.run(x, summand)
            return summed + F.layer_norm(summed, weight.shape, weight, shift, SMALL_EPS)

        return values_and_gradients(both, inputs, trains=trains)

    def small(chosen: PairBackend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        made = torch.randn(2, SMALL_ROWS, channels, generator=generator, device='cpu')
        like, rows = (convert(each.to(like)) for each, like in zip(made, (x, chunks[0]), strict=True))
        weight, shift = (torch.linspace(first, 2, channels).to(like) for first in (0.5, -1))
        shuffle, own = order and shuffled(x.device), None if bias is None else convert(bias.detach())
        return run(chosen, [like, own, rows], shuffle) + run_both(chosen, [like, own, weight, shift, rows], shuffle)

    def real(chosen: Backend) -> None:
        run(chosen, [x.detach().flatten(0, -2), bias, *(rows.detach() for rows in chunks)], order)

    lower = min(x.dtype, chunks[0].dtype, key=lambda dtype: dtype.itemsize)  # gradients of the rows have their type
    return Trial(shape, x.device, lower, trains, small, real)
