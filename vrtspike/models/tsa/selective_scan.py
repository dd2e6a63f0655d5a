"""Temporal mixing by a selective scan instead of attention."""

from __future__ import annotations

from torch import Tensor

from vrtspike.models.layers.selective_scan import SelectiveScanPart
from vrtspike.registry import TSA


@TSA.register_module()
class TemporalSelectiveScan(SelectiveScanPart):
    """Run states along time at every pixel, in both directions: x + scan(LN(x)) (Mamba, arXiv 2312.00752).

    Its cost is linear in T; that of attention is quadratic. Arguments:
    :class:`~vrtspike.models.layers.selective_scan.SelectiveScanPart`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return refined features of the shape of ``x``, (B, C, T, h, w)."""
        self.check_maps(x=x)
        return x + self.scan_chunks(x)
