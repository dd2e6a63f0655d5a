"""A map plus rows that are stored in another order, as the results of windows are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vrtspike.ops.add_scattered.backends import ADD_SCATTERED
from vrtspike.ops.backends import Backend, Request
from vrtspike.ops.rows import Order
from vrtspike.ops.trial_outcomes import measures
from vrtspike.ops.trials import Trial, values_and_gradients

SMALL_ROWS = 100


def add_scattered(
    x: Tensor, chunks: Sequence[Tensor], order: Order, scale: float = 1.0, *, backend: str = 'auto'
) -> Tensor:
    """Return ``x + scale * rows``, every row added to the token that it belongs to.

    Args:
        x: Map (..., C) of N tokens.
        chunks: The rows (M, C) in the order, in one or more pieces.
        order: Of the N tokens among the M rows.
        scale: Factor on the rows.
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.add_scattered.backends.ADD_SCATTERED`.

    Returns:
        The map (..., C), of the larger type of both.
    """
    if torch.jit.is_tracing():
        run = ADD_SCATTERED.find('reference').run
    else:
        trial = trial_of(x, chunks, order, scale) if measures(x) else None
        run = ADD_SCATTERED.choose(x, Request(backend, trial)).run
    return run(x.flatten(0, -2), chunks, order, scale).view_as(x)


def trial_of(x: Tensor, chunks: Sequence[Tensor], order: Order, scale: float) -> Trial:
    """Return the call on which the backends are compared; the number of rows counts in powers of two."""
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *chunks))
    channels, count = x.shape[-1], max(1, len(order.sources))
    types = f'{x.dtype} and {chunks[0].dtype}'.replace('torch.', '')
    shape = f'of {channels} channels, {types}, up to {1 << (count - 1).bit_length()} rows'

    def run(chosen: Backend, inputs: list[Tensor], order: Order) -> list[Tensor]:
        return values_and_gradients(lambda x, *rows: chosen.run(x, rows, order, scale), inputs, trains=trains)

    def small(chosen: Backend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        made = torch.randn(2, SMALL_ROWS, channels, generator=generator, device='cpu')
        places = torch.randperm(SMALL_ROWS, generator=generator, device='cpu').to(x.device)
        inputs = [convert(each.to(like)) for each, like in zip(made, (x, chunks[0]), strict=True)]
        return run(chosen, inputs, Order(places.argsort().int(), places.int()))

    def real(chosen: Backend) -> None:
        run(chosen, [x.detach().flatten(0, -2), *(rows.detach() for rows in chunks)], order)

    return Trial(shape, x.device, x.dtype, trains, small, real)
