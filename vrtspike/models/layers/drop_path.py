"""Stochastic depth (arXiv 1603.09382); dropped samples are not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from vrtspike.ops.residual import add_scaled

Branch = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Takes a map; returns it, and what a residual connection adds to it."""


class DropPath(nn.Module):
    """Add a residual branch. In training, random samples drop it; for the others it is scaled by ``1 / (1 - rate)``.

    The host draws which samples keep the branch, from its own generator, so it need not wait for a GPU to know how many
    there are. Compiled graphs compute the branch for all samples and multiply it by zero, because their shapes must not
    depend on random numbers.

    Args:
        rate: Probability of dropping, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, branch: Branch, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Return the sum of what the branch returns, with the second term dropped for random samples in training.

        Args:
            x: (B, ...).
            branch: Takes one or more samples of x; returns them, and as many of the same shape to add.
            parameters: Parameters of the branch. If all samples drop it, their gradients are zero instead of None,
                because optimizers and distributed training treat None differently.
        """
        if not self.training or self.rate == 0:
            x, added = branch(x)
            return x + added
        keep = 1 - self.rate
        if x.is_meta or torch.compiler.is_compiling():
            kept = x.new_empty(x.shape[0]).bernoulli_(keep)
            x, added = branch(x)
            return x + added * (kept / keep).view(-1, *[1] * (x.ndim - 1))
        drawn = x.new_empty(x.shape[0], device='cpu').bernoulli_(keep).tolist()
        samples = [i for i, kept in enumerate(drawn) if kept]
        if len(samples) == len(x):
            return add_scaled(*branch(x), 1 / keep)
        if not samples:
            return _Dropped.apply(x, *parameters)
        rows = list(x.split(1))  # indices would have to be copied to the device
        _, added = branch(torch.cat([rows[i] for i in samples]))
        for i, row in zip(samples, added.to(x.dtype).split(1), strict=True):
            rows[i] = add_scaled(rows[i], row, 1 / keep)
        return torch.cat(rows)

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
