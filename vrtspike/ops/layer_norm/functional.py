"""Layer normalisation (arXiv 1607.06450) of tokens, in the type and the order in which the next layer takes them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vrtspike.ops.backends import Backend, PairBackend, Request
from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.layer_norm.backends import LAYER_NORM
from vrtspike.ops.rows import Order
from vrtspike.ops.trial_outcomes import measures
from vrtspike.ops.trials import SMALL_ROWS, Trial, shuffled, values_and_gradients
from vrtspike.runtime.device import in_graph


def layer_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, order: Order | None = None, backend: str = 'auto'
) -> Tensor:
    """Normalise the channels of every token. Under autocast the result has the type that linear layers compute in.

    Args:
        x: Map (..., C) of N tokens.
        weight: (C,).
        bias: (C,).
        eps: Added to the variance.
        order: Gathers the tokens into M rows; None leaves them where they are.
        backend: 'auto' or the name of a backend of :data:`~vrtspike.ops.layer_norm.backends.LAYER_NORM`.

    Returns:
        The map (..., C), or rows (M, C) with an ``order``.
    """
    run = chosen_for(x, weight, bias, eps, order, backend).run
    rows = run(x.flatten(0, -2), weight, bias, eps, computes_in(x), order)
    return rows.view_as(x) if order is None else rows


def layer_norm_beside(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, *, order: Order | None = None, backend: str = 'auto'
) -> tuple[Tensor, Tensor]:
    """Return the map itself and the result of :func:`layer_norm`, whose arguments these are.

    A residual connection should take the first. A backend may then add the gradients of both in the kernel that makes
    one of them.
    """
    chosen = chosen_for(x, weight, bias, eps, order, backend)
    if chosen.pair is None:
        rows = chosen.run(x.flatten(0, -2), weight, bias, eps, computes_in(x), order)
    else:
        same, rows = chosen.pair(x.flatten(0, -2), weight, bias, eps, computes_in(x), order)
        x = same.view_as(x)
    return x, rows.view_as(x) if order is None else rows


def chosen_for(x: Tensor, weight: Tensor, bias: Tensor, eps: float, order: Order | None, backend: str) -> PairBackend:
    """Return the backend for a call of :func:`layer_norm`."""
    if in_graph():
        return LAYER_NORM.find('reference')  # compilers fuse it themselves, and tracers see into it
    trial = trial_of(x, weight, bias, eps, order) if measures(x) else None
    return LAYER_NORM.choose(x, Request(backend, trial, lambda each: not each.dtypes or computes_in(x) in each.dtypes))


def trial_of(x: Tensor, weight: Tensor, bias: Tensor, eps: float, order: Order | None) -> Trial:
    """Return the call on which the backends are compared; the number of tokens counts in powers of two.

    Values and gradients of :func:`layer_norm_beside` are checked too.
    """
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, weight, bias))
    dtype, tokens = computes_in(x), max(1, x.shape[:-1].numel())
    types = f'{x.dtype} to {dtype}'.replace('torch.', '')
    shape = f'of {len(weight)} channels, {types}, {"gathered, " if order else ""}up to {1 << (tokens - 1).bit_length()}'

    def small(chosen: PairBackend, convert: Callable[[Tensor], Tensor]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        rows = torch.randn(SMALL_ROWS, len(weight), generator=generator, device='cpu').to(x.device, x.dtype)
        inputs = [convert(each.detach()) for each in (rows, weight, bias)]
        settings = eps, torch.float64 if inputs[0].dtype is torch.float64 else dtype, order and shuffled(x.device)

        def both(x: Tensor, *weights: Tensor) -> Tensor:
            if chosen.pair:
                return sum(chosen.pair(x, *weights, *settings))
            return x + chosen.run(x, *weights, *settings)

        alone = values_and_gradients(lambda *inputs: chosen.run(*inputs, *settings), inputs, trains=trains)
        return alone + values_and_gradients(both, inputs, trains=trains)

    def real(chosen: Backend) -> None:
        inputs = x.detach().flatten(0, -2), weight, bias
        values_and_gradients(lambda *each: chosen.run(*each, eps, dtype, order), inputs, trains=trains)

    return Trial(shape, x.device, dtype, trains, small, real)
