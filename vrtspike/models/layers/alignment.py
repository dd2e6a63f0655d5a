"""Parallel warping: every frame gets its neighbours' features by flow-guided deformable convolution (VRT).

Shapes: maps (B, T, C, H, W); a list of flows holds, for each distance d = 1, 2, ... in frames, the flow (B, T-d, 2, H,
W) in pixels from frame t to frame t+d (backward) or from frame t+d to frame t (forward). N = 2*B*(T-1) pairs: all
frames and both directions are aligned in one call.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.warp import warp
from vrtspike.ops import deform_conv2d
from vrtspike.profiling import part


class FlowGuidedDeformConv(nn.Module):
    """Deformable convolution of neighbours whose offsets are the flow plus a learnt residue.

    Args:
        channels: C, of each neighbour, the frame itself and the result.
        neighbours: Number of neighbours on one side; each is a group of the convolution.
        deformable_groups: Groups of channels with offsets of their own.
        max_residue: Largest residue in pixels.
    """

    def __init__(self, channels: int, neighbours: int, deformable_groups: int, max_residue: float) -> None:
        super().__init__()
        self.max_residue = max_residue
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        seen = (1 + neighbours) * channels + 2 * neighbours
        self.conv_offset = nn.Sequential(
            nn.Conv2d(seen, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, 27 * deformable_groups, 3, padding=1),
        )
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        nn.init.zeros_(self.conv_offset[-1].weight)
        nn.init.zeros_(self.conv_offset[-1].bias)

    def forward(self, neighbours: Tensor, warped: Tensor, current: Tensor, flows: Tensor) -> Tensor:
        """Align features to ``current``.

        Args:
            neighbours: Features of the neighbours (N, neighbours*C, H, W).
            warped: The same, warped by the flows.
            current: Features of the frame itself (N, C, H, W).
            flows: (N, neighbours*2, H, W) in pixels.
        """
        with part('offset_head') as p:
            offset, mask = (p.leave(each) for each in self.offsets(p.enter(warped), p.enter(current), flows))
        with part('deform_conv') as p:
            aligned = deform_conv2d(p.enter(neighbours), p.enter(offset), p.enter(mask), self.weight, self.bias)
            return p.leave(aligned)

    def offsets(self, warped: Tensor, current: Tensor, flows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the offsets (N, 2*D*9, H, W) in pixels and masks (N, D*9, H, W) of all taps."""
        found = self.conv_offset(torch.cat((warped, current, flows), dim=1))
        residue, mask = found.tensor_split([found.shape[1] // 3 * 2], dim=1)
        per_neighbour = torch.tanh(residue).unflatten(1, (flows.shape[1] // 2, -1, 2))
        flow = flows.unflatten(1, (-1, 1, 2)).flip(3)  # (x, y) of a flow, (y, x) of an offset
        return torch.add(flow, per_neighbour, alpha=self.max_residue).flatten(1, 3), mask.sigmoid()


def align_both_ways(
    align: FlowGuidedDeformConv, x: Tensor, flows_backward: Sequence[Tensor], flows_forward: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return what the frames after, and what the frames before, look like at every frame: (B, T, C, H, W) each.

    The frames before a frame are those after it in reversed time, so the clip and its reverse are one batch.
    """
    clips = torch.cat((x, x.flip(1)))
    flows = [torch.cat((after, before.flip(1))) for after, before in zip(flows_backward, flows_forward, strict=True)]
    aligned = align_later_frames(align, clips, flows)
    after, before = aligned.chunk(2)
    return after, before.flip(1)


def align_later_frames(align: FlowGuidedDeformConv, x: Tensor, flows: Sequence[Tensor]) -> Tensor:
    """Return the frames t+1, t+2, ... aligned to every frame t (B, T, C, H, W).

    Beyond the clip's end there are zeros, and the last frame, which has nothing after it, gets zero.
    """
    b, t = x.shape[:2]
    if t == 1:
        return torch.zeros_like(x)
    neighbours = [pad_frames(x[:, distance:], t - 1).flatten(0, 1) for distance in range(1, len(flows) + 1)]
    flows = [pad_frames(flow, t - 1).flatten(0, 1) for flow in flows]
    with part('warp') as p:
        warped = [p.leave(warp(p.enter(frame), flow)) for frame, flow in zip(neighbours, flows, strict=True)]
    current = x[:, :-1].flatten(0, 1)
    aligned = align(torch.cat(neighbours, dim=1), torch.cat(warped, dim=1), current, torch.cat(flows, dim=1))
    return pad_frames(aligned.unflatten(0, (b, t - 1)), t)


def pad_frames(x: Tensor, frames: int) -> Tensor:
    """Return (B, T, C, H, W) with zero frames appended up to ``frames``."""
    missing = frames - x.shape[1]
    return F.pad(x, (0, 0, 0, 0, 0, 0, 0, missing)) if missing else x
