"""Layouts of feature maps (B, C, T, H, W), their normalisation and resizing.

Shapes: B clips, C channels, T frames, h x w pixels of a map or chunk; N = B·h·w sequences of T tokens.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.ops import layer_norm, layer_norm_beside
from vrtspike.ops.add_scattered import Addend, Norm, add_scattered_normed
from vrtspike.ops.fused_attention import computes_in
from vrtspike.ops.rows import Order


def channels_last(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B, T, H, W, C), a view."""
    return x.movedim(1, -1)


def channels_first(x: Tensor) -> Tensor:
    """(B, T, H, W, C) -> (B, C, T, H, W), a view."""
    return x.movedim(-1, 1)


def to_frames(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B*T, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


def from_frames(frames: Tensor, batch: int) -> Tensor:
    """(B*T, C, H, W) -> (B, C, T, H, W), a view."""
    return frames.unflatten(0, (batch, -1)).transpose(1, 2)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, T, h, w) -> (B·h·w, T, C); a copy unless ``x`` is already stored with channels last."""
    return x.permute(0, 3, 4, 2, 1).flatten(0, 2)


def from_tokens(tokens: Tensor, like: Tensor) -> Tensor:
    """(B·h·w, T, C) -> (B, C, T, h, w), a view; ``like`` is the map that the tokens came from."""
    batch, _, _, height, width = like.shape
    return tokens.unflatten(0, (batch, height, width)).permute(0, 4, 3, 1, 2)


def resize_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps (B, C, T, h, w) resized bilinearly to ``size``."""
    if maps.shape[-2:] == tuple(size):
        return maps
    flat = F.interpolate(maps.flatten(1, 2), size=tuple(size), mode='bilinear', align_corners=False)
    return flat.unflatten(1, maps.shape[1:3])


class TokenNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map (..., C), in the type of the linear layers that follow."""

    def forward(self, x: Tensor, order: Order | None = None) -> Tensor:
        """(..., C) -> the same shape; with an ``order``, (M, C)."""
        return layer_norm(x, self.weight, self.bias, self.eps, order=order)

    def beside(self, x: Tensor, order: Order | None = None) -> tuple[Tensor, Tensor]:
        """Return ``x`` itself, for a residual connection, and what :meth:`forward` returns.

        One kernel may then add the gradients of both, see :func:`~vrtspike.ops.layer_norm_beside`.
        """
        return layer_norm_beside(x, self.weight, self.bias, self.eps, order=order)

    def after_sum(self, x: Tensor, addend: Addend) -> tuple[Tensor, Tensor]:
        """Return the sum of :func:`~vrtspike.ops.add_scattered`, whose arguments these are, and its normalised map."""
        return add_scattered_normed(x, addend, Norm(self.weight, self.bias, self.eps, computes_in(x)))


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map (B, C, T, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) -> the same shape."""
        return channels_first(super().forward(channels_last(x)))


def zeroed(module: nn.Module) -> nn.Module:
    """Set weight and bias of ``module`` to zero and return it: a residual branch that ends in it begins as zero.

    See zero convolutions, arXiv 2302.05543.
    """
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module
