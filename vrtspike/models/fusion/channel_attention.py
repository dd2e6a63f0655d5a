"""Fusion of RGB and spike features by attention between channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import require_positive, require_positive_integers
from vrtspike.models.fusion.base import FusionHead
from vrtspike.models.layers.checks import check_heads
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import ChannelNorm, zeroed
from vrtspike.models.layers.mlp import feed_forward
from vrtspike.registry import FUSION_HEADS


@FUSION_HEADS.register_module()
class ChannelCrossAttention(FusionHead):
    """Attend from RGB channels to similar spike channels: x = rgb + W0 A V, x += MLP(LN(x)).

    A = softmax(t Q^ K^T) is (C/heads, C/heads) per head and frame, with Q of LN(rgb), K and V of LN(spike), all
    projected 1x1; Q^ and K^ are normalised over the pixels (transposed attention, arXiv 2111.09881; between
    modalities, arXiv 2112.00167). Its cost is linear in the number of pixels. W0 and the MLP's last layer
    begin at zero, so the head begins as the identity.

    Args:
        channels: C, of both maps.
        heads: Attention heads; divides ``channels``.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
    """

    def __init__(self, channels: int, heads: int = 4, mlp_ratio: float = 2.0) -> None:
        super().__init__(channels)
        name = type(self).__name__
        require_positive_integers(name, heads=heads)
        require_positive(name, mlp_ratio=mlp_ratio)
        check_heads(name, channels, heads)
        self.heads = heads
        self.query = nn.Sequential(ChannelNorm(channels), FrameConv(channels, channels, size=1))
        self.key_value = nn.Sequential(ChannelNorm(channels), FrameConv(channels, 2 * channels, size=1))
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.out = zeroed(FrameConv(channels, channels, size=1))
        self.mlp = feed_forward(channels, mlp_ratio, starts_at_zero=True)

    def fuse(self, rgb: Tensor, spike: Tensor) -> Tensor:
        """Return RGB features of the shape of ``rgb``, (B, C, T, H, W)."""
        x = rgb + self.out(self.attend(self.query(rgb), *self.key_value(spike).chunk(2, dim=1)))
        return x + self.mlp(x)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend between the channels of (B, C, T, H, W) in every frame; returns the same shape."""
        q, k, v = (self.split_heads(each) for each in (query, key, value))
        # Norms are sums over all pixels of a frame, too many values to add in 16 bits.
        high = torch.promote_types(v.dtype, torch.float32)
        q, k = (F.normalize(each.to(high), dim=-1) for each in (q, k))
        weights = (self.temperature * (q.to(v.dtype) @ k.to(v.dtype).transpose(-2, -1))).softmax(dim=-1)
        attended = weights.to(v.dtype) @ v
        return attended.flatten(2, 3).unflatten(-1, value.shape[-2:]).transpose(1, 2)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> (B, T, heads, C / heads, H*W)."""
        return x.transpose(1, 2).unflatten(2, (self.heads, -1)).flatten(-2)
