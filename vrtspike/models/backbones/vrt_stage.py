"""Stages 1-7 of VRT: a change of scale, attention in short and long windows, parallel warping.

Shapes: maps between stages (B, C, T, H, W); inside a stage (B, T, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops.layers.torch import Rearrange
from torch import Tensor, nn

from vrtspike.models.layers.alignment import FlowGuidedDeformConv, align_both_ways, align_pairs
from vrtspike.models.layers.blocks import AttentionGroup
from vrtspike.models.layers.cast_weights import cast_together
from vrtspike.models.layers.frame_pairs import beside_neighbours
from vrtspike.models.layers.linear import Linear
from vrtspike.models.layers.maps import TokenNorm
from vrtspike.models.layers.mlp import GatedMLP
from vrtspike.models.layers.precision import in_computed_type
from vrtspike.ops.window_attention.windows import Window
from vrtspike.profiling import part
from vrtspike.runtime.device import in_graph


def make_reshape(kind: str, in_channels: int, channels: int) -> nn.Sequential:
    """Return the layers that bring (B, C, T, H, W) to a stage's scale: 'none', 'down' (halved) or 'up' (doubled)."""
    if kind == 'none':
        layers = [Rearrange('b c t h w -> b t h w c'), nn.LayerNorm(channels)]
    elif kind == 'down':  # the published order of the four neighbours: column, row
        layers = [Rearrange('b c t (h row) (w column) -> b t h w (column row c)', row=2, column=2)]
        layers += [TokenNorm(4 * in_channels), Linear(4 * in_channels, channels)]
    else:
        layers = [Rearrange('b (column row c) t h w -> b t (h row) (w column) c', row=2, column=2)]
        layers += [TokenNorm(in_channels // 4), Linear(in_channels // 4, channels)]
    return nn.Sequential(*layers, Rearrange('b t h w c -> b c t h w'))


class VRTStage(nn.Module):
    """One of the stages 1-7.

    Args:
        reshape: 'none', 'down' or 'up'; see :func:`make_reshape`.
        in_channels: Channels of the input.
        channels: Channels of the stage.
        depth: Number of blocks in both groups together.
        mutual_depth: Number of these blocks with mutual attention, in windows of two frames.
        window: Window (t, h, w) of the other blocks.
        drop_paths: One rate for each block of the longer group; both groups start with the first rate.
        pa_frames: Neighbours for parallel warping, both sides together; 0 disables it.
        deformable_groups: Groups of channels; each has its own offsets.
        max_residue: Largest learnt offset in addition to the flow, in pixels.
        **block: The other arguments of the attention blocks, see
            :class:`~vrtspike.models.layers.blocks.AttentionBlock`.
    """

    def __init__(
        self,
        *,
        reshape: str,
        in_channels: int,
        channels: int,
        depth: int,
        mutual_depth: int,
        window: Window,
        drop_paths: Sequence[float],
        pa_frames: int,
        deformable_groups: int,
        max_residue: float,
        **block,
    ) -> None:
        super().__init__()
        self.reshape = make_reshape(reshape, in_channels, channels)
        group = dict(channels=channels, drop_paths=drop_paths, **block)
        self.residual_group1 = AttentionGroup(mutual_depth, window=(2, *window[1:]), mutual=True, **group)
        self.linear1 = Linear(channels, channels)
        self.residual_group2 = AttentionGroup(depth - mutual_depth, window=window, mutual=False, **group)
        self.linear2 = Linear(channels, channels)
        self.linear1.casts_bias = self.linear2.casts_bias = False
        self.pa_frames = pa_frames
        if pa_frames:
            self.pa_deform = FlowGuidedDeformConv(channels, pa_frames // 2, deformable_groups, max_residue)
            self.pa_fuse = GatedMLP(3 * channels, 3 * channels, channels)

    def forward(self, x: Tensor, flows_backward: Sequence[Tensor], flows_forward: Sequence[Tensor]) -> Tensor:
        """Return the stage's features (B, channels, T, H', W').

        Args:
            x: Features (B, in_channels, T, H, W).
            flows_backward: For every distance d, the flow (B, T-d, 2, H', W') from frame t to t+d; unused without
                parallel warping.
            flows_forward: The same from frame t+d to t.
        """
        reshape, linear1, linear2 = cast_together(x, self.reshape, self.linear1, self.linear2)
        x = reshape(x).permute(0, 2, 3, 4, 1)
        x = linear1(self.residual_group1(x), x)
        x = linear2(self.residual_group2(x), x)
        if self.pa_frames:
            x = self.warp_and_fuse(x, flows_backward, flows_forward)
        return x.permute(0, 4, 1, 2, 3)

    def warp_and_fuse(self, x: Tensor, flows_backward: Sequence[Tensor], flows_forward: Sequence[Tensor]) -> Tensor:
        """Return (B, T, H, W, C) with every frame fused with its aligned neighbours."""
        align, fuse = cast_together(x, self.pa_deform, self.pa_fuse)
        maps = in_computed_type(x).permute(0, 1, 4, 2, 3)
        if x.shape[1] > 1 and not in_graph():
            aligned = align_pairs(align, maps, flows_backward, flows_forward)
            with part('fusion') as p:
                return p.leave(fuse(p.enter(beside_neighbours(maps, in_computed_type(aligned)))))
        after, before = align_both_ways(align, maps, flows_backward, flows_forward)
        with part('fusion') as p:
            features = [in_computed_type(each).permute(0, 1, 3, 4, 2) for each in (maps, after, before)]
            return p.leave(fuse(p.enter(torch.cat(features, dim=-1))))  # the order of the MLP, which would copy another
