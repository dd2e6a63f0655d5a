"""Temporal mixing by a selective scan instead of attention."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.chunking.part import ChunkedPart
from vrtspike.models.layers.selective_scan import SelectiveScan
from vrtspike.models.layers.temporal_attention import from_tokens, to_tokens
from vrtspike.registry import TSA


@TSA.register_module()
class TemporalSelectiveScan(ChunkedPart):
    """Let a state run along time at every pixel, in both directions: x + scan(LN(x)) (Mamba, arXiv 2312.00752).

    Its cost grows with T, not with its square; see :class:`~vrtspike.models.layers.selective_scan.SelectiveScan`.

    Args:
        channels: C, of the map.
        states: States per channel.
        kwargs: How the maps are cut, see :class:`~vrtspike.models.layers.chunking.part.ChunkedPart`.
    """

    def __init__(self, channels: int, states: int = 8, **kwargs: Any) -> None:
        super().__init__(channels, **kwargs)
        require_positive_integers(type(self).__name__, channels=channels, states=states)
        self.norm = nn.LayerNorm(channels)
        self.scan = SelectiveScan(channels, states)

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        self.check_maps(x=x)
        return x + self.map_chunks(self._refine, x)

    def _refine(self, chunk: Tensor) -> Tensor:
        tokens = self.norm(to_tokens(chunk))
        return from_tokens(self.scan(tokens, tokens), like=chunk)
