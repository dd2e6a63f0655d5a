"""Alignment of frames: sampling along optical flow, and VRT's parallel warping by flow-guided deformable convolution.

Shapes: maps (N, C, H, W) or clips of maps (B, T, C, H, W); flow (N, 2, H, W) in pixels, x before y. A list of flows
contains one flow (B, T-d, 2, H, W) for each distance d = 1, 2, ... in frames: from frame t to frame t+d (backward) or
from frame t+d to frame t (forward). Parallel warping aligns all frames in both directions in one call of N = 2*B*(T-1)
pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.models.layers.padding import pad_frames
from vrtspike.models.layers.precision import in_computed_type
from vrtspike.ops import deform_conv2d, flow_offsets
from vrtspike.ops.chunks import joined
from vrtspike.profiling import part


def warp(x: Tensor, flow: Tensor, padding_mode: str = 'zeros') -> Tensor:
    """Return ``x`` sampled bilinearly at every pixel plus its flow.

    Positions are computed in the flow's precision, but at least in float32: 16 bits cannot tell neighbouring pixels of
    a large map apart.

    Args:
        x: Map (N, C, H, W).
        flow: (N, 2, H, W) in pixels.
        padding_mode: 'zeros' or 'border' outside the map.
    """
    height, width = x.shape[-2:]
    x_position, y_position = _positions(flow)
    # With align_corners=False the centre of pixel p is at (2p + 1) / size - 1, which also holds for a size of 1.
    grid = torch.stack(((2 * x_position + 1) / width - 1, (2 * y_position + 1) / height - 1), dim=-1)
    out = F.grid_sample(x.to(grid.dtype), grid, padding_mode=padding_mode, align_corners=False)
    return out.to(x.dtype)


def warp_to_corners(x: Tensor, flow: Tensor) -> Tensor:
    """Return the four pixels (N, 4*C, H, W) around every pixel plus its flow, zero outside the map.

    The order of the corners is (floor x, floor y), (floor x, ceil y), (ceil x, floor y), (ceil x, ceil y).
    """
    height, width = x.shape[-2:]
    x_position, y_position = _positions(flow)
    pixels = x.flatten(2)
    corners = []
    for column in (x_position.floor().long(), x_position.ceil().long()):
        for row in (y_position.floor().long(), y_position.ceil().long()):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
            values = pixels.gather(2, index[:, None].expand(-1, x.shape[1], -1)).view_as(x)
            corners.append(values * inside[:, None])
    return torch.cat(corners, dim=1)


def _positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the x and y positions (N, H, W) that the flow points to."""
    if flow.dtype in (torch.float16, torch.bfloat16):
        flow = flow.float()
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return flow[:, 0] + x, flow[:, 1] + y[:, None]


def warp_frames(x: Tensor, flow: Tensor) -> Tensor:
    """Return frames (B, T, C, H, W) warped by (B, T, 2, H, W)."""
    return warp(x.flatten(0, 1), flow.flatten(0, 1)).view_as(x) if x.shape[1] else x


def neighbour_corners(image: Tensor, backward: Tensor, forward: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for every pixel, the four pixels around its position in the next frame and in the previous frame.

    Args:
        image: (B, T, C, H, W).
        backward: Flow from every frame but the last to the next one (B, T-1, 2, H, W).
        forward: Flow from every frame but the first to the previous one (B, T-1, 2, H, W).

    Returns:
        Two maps (B, T, 4*C, H, W), zero where a frame has no such neighbour.
    """
    b, t = image.shape[:2]
    if t == 1:
        none = image.new_zeros(b, 1, 4 * image.shape[2], *image.shape[-2:])
        return none, none
    following, previous = (
        warp_to_corners(neighbours.flatten(0, 1), flow.flatten(0, 1)).unflatten(0, (b, t - 1))
        for neighbours, flow in ((image[:, 1:], backward), (image[:, :-1], forward))
    )
    return pad_frames(following, after=1), pad_frames(previous, before=1)


class FlowGuidedDeformConv(nn.Module):
    """Deformable convolution of neighbours; its offsets are the flow plus a learnt residue.

    Args:
        channels: C, of each neighbour, of the frame itself and of the result.
        neighbours: Number of neighbours on one side; each is a group of the convolution.
        deformable_groups: Groups of channels, each with its own offsets.
        max_residue: Largest residue in pixels.
    """

    def __init__(self, channels: int, neighbours: int, deformable_groups: int, max_residue: float) -> None:
        super().__init__()
        self.max_residue = max_residue
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        inputs = (1 + neighbours) * channels + 2 * neighbours
        self.conv_offset = nn.Sequential(
            nn.Conv2d(inputs, channels, 3, padding=1),
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
            warped: The same features, warped by the flows.
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
        predicted = self.conv_offset(torch.cat([in_computed_type(x) for x in (warped, current, flows)], dim=1))
        return flow_offsets(predicted, flows, self.max_residue)


def align_both_ways(
    align: Callable[..., Tensor], x: Tensor, flows_backward: Sequence[Tensor], flows_forward: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the later frames, and the earlier frames, aligned to every frame: (B, T, C, H, W) each.

    Both directions make one batch. Frames beyond an end of the clip are zero. The last frame has no later ones and gets
    zero, and so does the first, which has no earlier ones.

    Args:
        align: A :class:`FlowGuidedDeformConv`.
        x: Features (B, T, C, H, W).
        flows_backward: For every distance the flow to a later frame.
        flows_forward: The same to an earlier frame.
    """
    b, t = x.shape[:2]
    if t == 1:
        return torch.zeros_like(x), torch.zeros_like(x)
    neighbours, flows = [], []
    for d, (backward, forward) in enumerate(zip(flows_backward, flows_forward, strict=True), start=1):
        missing = min(d, t) - 1
        neighbours.append(both_ways(x[:, d:], x[:, : max(t - d, 0)], missing))
        flows.append(both_ways(backward, forward, missing))
    with part('warp') as p:
        warped = [p.leave(warp(p.enter(frame), flow)) for frame, flow in zip(neighbours, flows, strict=True)]
    current = both_ways(x[:, :-1], x[:, 1:])
    neighbours, warped, flows = (joined(each, dim=1) for each in (neighbours, warped, flows))
    aligned = align(neighbours, warped, current, flows)
    after, before = aligned.unflatten(0, (2 * b, t - 1)).chunk(2)
    return pad_frames(after, after=1), pad_frames(before, before=1)


def both_ways(later: Tensor, earlier: Tensor, missing: int = 0) -> Tensor:
    """Return what all frames but the last see later, and all but the first see earlier, as maps (2*B*(T-1), C, H, W).

    Args:
        later: (B, T - 1 - missing, C, H, W).
        earlier: The same.
        missing: Number of frames that would see beyond the clip's ends, where zeros are.
    """
    return torch.cat((pad_frames(later, after=missing), pad_frames(earlier, before=missing))).flatten(0, 1)
