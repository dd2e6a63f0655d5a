"""Linear layers through :func:`vrtspike.ops.linear`."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.ops import linear


class Linear(nn.Linear):
    """``nn.Linear`` by the fastest backend of this processor, which may add a residual."""

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return ``x W^T + b`` (..., out_features), plus ``residual`` of that shape if given."""
        return linear(x, self.weight, self.bias, residual=residual)
