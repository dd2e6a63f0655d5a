"""Self-attention in windows of space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vrtspike.models.layers.attention import SpaceTimeAttentionPart
from vrtspike.registry import TSA


@TSA.register_module()
class WindowSelfAttention(SpaceTimeAttentionPart):
    """Let nearby spike features in space and time attend to each other: x += WA(LN(x)), then x += MLP(LN(x)).

    WA is multi-head attention in windows with a learnt bias per relative position, along time too (Swin, arXiv
    2103.14030; video, arXiv 2106.13230). Attention runs in chunks; the MLP takes the whole map. Arguments:
    :class:`~vrtspike.models.layers.attention.SpaceTimeAttentionPart`.
    """

    def __init__(self, channels: int, heads: int = 4, window_size: Sequence[int] = (5, 4, 4), **kwargs: Any) -> None:
        super().__init__(channels, heads, window_size, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        self.check_maps(x=x)
        return self.refine(x)
