"""Linear layers through :func:`vrtspike.ops.linear`."""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.ops import Addend, add_scattered, linear
from vrtspike.runtime.device import fuses_by_hand


class Linear(nn.Linear):
    """``nn.Linear`` by the fastest backend of this processor, which may add a residual."""

    casts_bias = True
    """Whether a GPU adds the bias in autocast's type; False if a later kernel adds it, in float32."""

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return ``x W^T + b`` (..., out_features), plus ``residual`` of that shape if given."""
        if residual is not None and fuses_by_hand(x):
            rows = linear(x, self.weight).flatten(0, -2)
            return add_scattered(residual, Addend([rows], bias=self.bias))
        return linear(x, self.weight, self.bias, residual=residual)
