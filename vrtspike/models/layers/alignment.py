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

from vrtspike.models.layers.frame_pairs import frame_pairs
from vrtspike.models.layers.padding import pad_frames
from vrtspike.models.layers.precision import in_computed_type
from vrtspike.ops import deform_conv2d, flow_offsets
from vrtspike.ops.chunks import joined
from vrtspike.ops.window_attention.windows import cached
from vrtspike.profiling import part
from vrtspike.runtime.device import fuses_by_hand, in_graph


def warp(x: Tensor, flow: Tensor, padding_mode: str = 'zeros') -> Tensor:
    """Return ``x`` sampled bilinearly at every pixel plus its flow.

    Positions are computed in the flow's precision, but at least in float32: 16 bits cannot tell neighbouring pixels of
    a large map apart.

    Args:
        x: Map (N, C, H, W).
        flow: (N, 2, H, W) in pixels.
        padding_mode: 'zeros' or 'border' outside the map.
    """
    grid = sampled_positions(flow)
    out = F.grid_sample(x.to(grid.dtype), grid, padding_mode=padding_mode, align_corners=False)
    return out.to(x.dtype)


def sampled_positions(flow: Tensor) -> Tensor:
    """Return every pixel's position plus its flow (N, H, W, 2), as ``grid_sample`` takes it without ``align_corners``.

    The centre of pixel p is at (2p + 1) / size - 1, which also holds for a size of 1.
    """
    height, width = flow.shape[-2:]
    if fuses_by_hand(flow):
        dtype = torch.promote_types(flow.dtype, torch.float32)
        centres, of_pixel = pixel_centres(height, width, flow.device, dtype)
        return torch.addcmul(centres, flow.permute(0, 2, 3, 1).to(dtype), of_pixel)
    x_position, y_position = _positions(flow)
    return torch.stack(((2 * x_position + 1) / width - 1, (2 * y_position + 1) / height - 1), dim=-1)


@cached
def pixel_centres(height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the centres of all pixels (H, W, 2), x before y, and the size of a pixel (2,)."""
    of_pixel = torch.tensor([2 / width, 2 / height], device=device, dtype=dtype)
    x, y = (torch.arange(length, device=device, dtype=dtype) + 0.5 for length in (width, height))
    centres = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1)
    return centres * of_pixel - 1, of_pixel


def warp_to_corners(x: Tensor, flow: Tensor) -> Tensor:
    """Return the four pixels (N, 4*C, H, W) around every pixel plus its flow, zero outside the map.

    The order of the corners is (floor x, floor y), (floor x, ceil y), (ceil x, floor y), (ceil x, ceil y).
    """
    height, width = x.shape[-2:]
    x_position, y_position = _positions(flow)
    columns, inside_columns = _corners(x_position, width)
    rows, inside_rows = _corners(y_position, height)
    index = (rows[:, None] * width + columns[:, :, None]).view(len(x), 4, 1, -1)
    inside = (inside_rows[:, None] & inside_columns[:, :, None]).view(len(x), 4, 1, -1)
    pixels = x.flatten(2)[:, None].expand(-1, 4, -1, -1)
    values = pixels.gather(3, index.expand(-1, -1, x.shape[1], -1)) * inside
    return values.view(len(x), -1, height, width)


def _corners(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the pixels (N, 2, H, W) before and after positions along an axis, and whether they are inside the map.

    Those that are not are replaced by the nearest inside.
    """
    pixels = torch.stack((position.floor(), position.ceil()), dim=1).long()
    nearest = pixels.clamp(0, size - 1)
    return nearest, pixels == nearest


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
    aligned = align_pairs(align, x, flows_backward, flows_forward)
    after, before = aligned.unflatten(0, (2 * b, t - 1)).chunk(2)
    return pad_frames(after, after=1), pad_frames(before, before=1)


def align_pairs(
    align: Callable[..., Tensor], x: Tensor, flows_backward: Sequence[Tensor], flows_forward: Sequence[Tensor]
) -> Tensor:
    """Return the later frames aligned to all but the last, then the earlier ones to all but the first.

    Takes the arguments of :func:`align_both_ways`, of clips of two frames or more; returns (2*B*(T-1), C, H, W).
    """
    neighbours, flows, current = [], [], None
    for d, (backward, forward) in enumerate(zip(flows_backward, flows_forward, strict=True), start=1):
        missing = min(d, x.shape[1]) - 1
        flows.append(both_ways(backward, forward, missing))
        if d == 1 and not in_graph():
            frames, current = frame_pairs(x)
        else:
            frames = both_ways(x[:, d:], x[:, : max(x.shape[1] - d, 0)], missing)
        neighbours.append(frames)
    with part('warp') as p:
        warped = [p.leave(warp(p.enter(frame), flow)) for frame, flow in zip(neighbours, flows, strict=True)]
    if current is None:
        current = both_ways(x[:, :-1], x[:, 1:])
    neighbours, warped, flows = (joined(each, dim=1) for each in (neighbours, warped, flows))
    return align(neighbours, warped, current, flows)


def both_ways(later: Tensor, earlier: Tensor, missing: int = 0) -> Tensor:
    """Return what all frames but the last see later, and all but the first see earlier, as maps (2*B*(T-1), C, H, W).

    Args:
        later: (B, T - 1 - missing, C, H, W).
        earlier: The same.
        missing: Number of frames that would see beyond the clip's ends, where zeros are.
    """
    return torch.cat((pad_frames(later, after=missing), pad_frames(earlier, before=missing))).flatten(0, 1)
