"""Stochastic depth (arXiv 1603.09382); on CPUs, dropped samples are not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Add a residual branch. In training, random samples drop it; for the others it is scaled by ``1 / (1 - rate)``.

    On CPUs the branch is computed only for the samples that keep it. Elsewhere it is computed for all samples and
    multiplied by zero, because otherwise the host would have to wait for the device to learn which samples keep it.

    Args:
        rate: Probability of dropping, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, branch: Callable[[Tensor], Tensor], parameters: Iterable[nn.Parameter]) -> Tensor:
        """Return ``x + branch(x)``, with the branch dropped for random samples in training.

        Args:
            x: (B, ...).
            branch: Takes one or more samples of x and returns as many of the same shape.
            parameters: Parameters of the branch. If all samples drop it, their gradients are zero instead of None,
                because optimizers and distributed training treat None differently.
        """
        if not self.training or self.rate == 0:
            return x + branch(x)
        keep = 1 - self.rate
        kept = x.new_empty(x.shape[0]).bernoulli_(keep)
        if x.device.type != 'cpu' or torch.compiler.is_compiling():
            return x + branch(x) * (kept / keep).view(-1, *[1] * (x.ndim - 1))
        samples = kept.nonzero()[:, 0]
        if len(samples) == len(x):
            return torch.add(x, branch(x), alpha=1 / keep)
        if len(samples) == 0:
            return _Dropped.apply(x, *parameters)
        added = branch(x.index_select(0, samples)).to(x.dtype)
        return x.index_add(0, samples, added, alpha=1 / keep)

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3f}'


class _Dropped(torch.autograd.Function):
    """The identity, with zero gradients for the parameters of the dropped branch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(*parameters)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad, *[
            torch.zeros_like(parameter) if needed else None
            for parameter, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[1:], strict=True)
        ]
