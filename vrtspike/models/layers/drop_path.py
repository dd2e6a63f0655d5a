"""Stochastic depth (arXiv 1603.09382); dropped samples are not computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Branch = Callable[[Tensor, float | None], Tensor]
"""``branch(x, added_by)`` returns ``x + added_by * f(x)``; with None it returns ``f(x)`` alone."""


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

    def forward(
        self, x: Tensor, branch: Branch, parameters: Iterable[nn.Parameter], kept: Sequence[int] | None = None
    ) -> Tensor:
        """Return ``x`` plus its branch, which random samples drop in training.

        Args:
            x: (B, ...).
            branch: Takes one or more samples of x and returns as many of the same shape.
            parameters: Parameters of the branch. If all samples drop it, their gradients are zero instead of None,
                because optimizers and distributed training treat None differently.
            kept: The samples that keep the branch, of :meth:`draw`; None draws them.
        """
        if not self.drops:
            return branch(x, 1.0)
        keep = 1 - self.rate
        if x.is_meta or torch.compiler.is_compiling():
            mask = x.new_empty(x.shape[0]).bernoulli_(keep)
            return x + branch(x, None) * (mask / keep).view(-1, *[1] * (x.ndim - 1))
        samples = self.draw(x) if kept is None else kept
        if len(samples) == len(x):
            return branch(x, self.factor)
        if not samples:
            return _Dropped.apply(x, *parameters)
        rows = list(x.split(1))  # indices would have to be copied to the device
        changed = branch(torch.cat([rows[i] for i in samples]), self.factor).to(x.dtype)
        for i, row in zip(samples, changed.split(1), strict=True):
            rows[i] = row
        return torch.cat(rows)

    @property
    def drops(self) -> bool:
        """Whether samples may drop the branch."""
        return self.training and self.rate > 0

    @property
    def factor(self) -> float:
        """The factor of the branch of a sample that keeps it."""
        return 1 / (1 - self.rate) if self.drops else 1.0

    def draw(self, x: Tensor) -> list[int]:
        """Return the samples of ``x`` that keep the branch: all, or random ones."""
        if not self.drops:
            return list(range(len(x)))
        drawn = x.new_empty(x.shape[0], device='cpu').bernoulli_(1 - self.rate).tolist()
        return [i for i, kept in enumerate(drawn) if kept]

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
