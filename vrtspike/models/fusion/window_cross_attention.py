"""Fusion of RGB and spike features by cross-attention in windows of space and time."""

from __future__ import annotations

from torch import Tensor

from vrtspike.models.layers.attention import SpaceTimeAttentionPart
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class WindowCrossAttention(SpaceTimeAttentionPart):
    """Attend from RGB features to the spikes around them: x = rgb + WA(LN(rgb), LN(spike)), x += MLP(LN(x)).

    WA is multi-head attention in windows of space and time with a learnt bias per relative position (arXiv 2103.14030,
    2106.13230), so spikes need not be aligned exactly with the RGB pixels. The last layers of WA and MLP begin at zero,
    so the head begins as the identity. Arguments: :class:`~vrtspike.models.layers.attention.SpaceTimeAttentionPart`.
    """

    norms = ('rgb_norm', 'spike_norm')
    starts_at_zero = True

    def forward(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W), fused with ``spike``."""
        self.check_maps(rgb=rgb, spike=spike)
        return self.refine(rgb, spike)
