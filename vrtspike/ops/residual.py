"""The sum of a residual connection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vrtspike.runtime.device import fuses_by_hand


def plus(x: Tensor, results: Tensor, added_by: float | None) -> Tensor:
    """Return ``x`` plus the results times a factor, as :func:`add_scaled` does; the results alone without one."""
    return results if added_by is None else add_scaled(x, results, added_by)


def add_scaled(x: Tensor, branch: Tensor, factor: float) -> Tensor:
    """Return ``x + factor * branch``.

    On GPUs, the gradient of the branch is scaled and cast to the branch's type in one pass; PyTorch's own takes two.

    Args:
        x: Map of any shape.
        branch: Map of the same shape; under autocast its type is narrower.
        factor: Of the branch.
    """
    if not fuses_by_hand(x):
        return torch.add(x, branch, alpha=factor)
    return _AddScaled.apply(x, branch, factor)


class _AddScaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, branch: Tensor, factor: float) -> Tensor:
        ctx.types, ctx.factor = (x.dtype, branch.dtype), factor
        return torch.add(x, branch, alpha=factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        of_x, of_branch = ctx.types
        # A kernel of a GPU casts what it writes.
        return grad.to(of_x), torch.mul(grad, ctx.factor, out=torch.empty_like(grad, dtype=of_branch)), None
