"""Layer normalisation that saves only the rows: the backward pass measures them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.ops.rows import Order


class Kernels(NamedTuple):
    """Operators that compute it for contiguous rows; weight and bias are float32."""

    values: Callable[..., Tensor]
    """``values(x, weight, bias, eps, dtype, sources)`` returns rows (M, C) of ``dtype`` from rows (N, C), in the
    :class:`~vrtspike.ops.rows.Order` of ``sources``."""
    gradients: Callable[..., tuple[Tensor, Tensor]]
    """``gradients(grad, x, weight, eps, positions, beside)`` returns the gradient of ``x`` plus ``beside``, and partial
    sums (P, 2, C) of those of weight and bias."""

    def normalised(
        self, x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, order: Order | None
    ) -> Tensor:
        """Normalise rows (N, C)."""
        return _Normalised.apply(self, x.contiguous(), weight.float(), bias.float(), eps, dtype, order)

    def normalised_beside(
        self, x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype, order: Order | None
    ) -> tuple[Tensor, Tensor]:
        """Return the rows themselves, and normalised; one kernel adds the gradients of both."""
        return _Beside.apply(self, x.contiguous(), weight.float(), bias.float(), eps, dtype, order)


class _Normalised(torch.autograd.Function):
    """The normalised rows."""

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Kernels,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        dtype: torch.dtype,
        order: Order | None,
    ) -> Tensor:
        sources, positions = order or (None, None)
        ctx.kernels, ctx.eps = kernels, eps
        ctx.save_for_backward(x, weight, positions)
        return kernels.values(x, weight, bias, eps, dtype, sources)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, grad, None)


class _Beside(torch.autograd.Function):
    """The rows, and normalised rows."""

    @staticmethod
    def forward(ctx: Any, kernels: Kernels, x: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return x.view_as(x), _Normalised.forward(ctx, kernels, x, *others)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, beside: Tensor | None, grad: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return None, beside, *(None,) * 5
        return _gradients(ctx, grad, None if beside is None else beside.contiguous())


def _gradients(ctx: Any, grad: Tensor, beside: Tensor | None) -> tuple[Tensor | None, ...]:
    x, weight, positions = ctx.saved_tensors
    grad_x, partial = ctx.kernels.gradients(grad.contiguous(), x, weight, ctx.eps, positions, beside)
    return None, grad_x, *partial.sum(0).unbind(), *(None,) * 3


def empty_results(x: Tensor, dtype: torch.dtype, sources: Tensor | None) -> Tensor:
    """Return an empty tensor for rows (M, C) of ``dtype``, made of rows (N, C)."""
    return x.new_empty((len(x) if sources is None else len(sources), x.shape[1]), dtype=dtype)
