"""Stochastic depth (arXiv 1603.09382)."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """Drop a residual branch for whole samples while training, scaling the kept ones by ``1 / (1 - rate)``.

    Args:
        rate: Probability of dropping, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * (kept / keep)

    def extra_repr(self) -> str:
        return f'rate={self.rate:.3f}'
