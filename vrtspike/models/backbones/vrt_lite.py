"""VRTLite: VRT's course of stages made of plain convolutions, for CPUs and for distillation.

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features between stages (B, C, T, H, W); frames inside a stage
(B*T, C, H, W); flows (B, T-1, 2, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.backbones.vrt import RESHAPES, SCALES
from vrtspike.models.layers.checks import require_positive_integers
from vrtspike.models.layers.clips import check_clip, pad_to_multiple
from vrtspike.models.layers.flow import clip_flows
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.shared_flow import SharedPyramidFlow
from vrtspike.models.layers.warp import warp
from vrtspike.profiling import part, stage
from vrtspike.registry import BACKBONES

FLOW_SCALE = 4
"""Divisor of the size at which flow is found; frames are aligned at this scale and at half of it."""

Fuse = Callable[[int, Tensor], Tensor]


@BACKBONES.register_module()
class VRTLite(nn.Module):
    """A light network with VRT's seven scales, skips and fusion places, and none of its costly operators.

    Attention in windows becomes residual blocks of two convolutions without normalisation. Deformable convolution
    behind four dense ones becomes flow warping and one separable convolution, at 1/4 and 1/8 of the size alone, and
    flow is found on frames of a quarter of the size. One narrow block runs in each of the two stages at full
    resolution, and there is no stage 8. Clips may have any size; untrained it is the identity.

    Args:
        in_chans: Channels of the clip; the first three are the image.
        embed_dims: Channels of stages 1-7. Stages of one scale are added and so agree: 7 and 1, 6 and 2, 5 and 3.
        depths: Residual blocks of stages 1-7; 0 leaves the change of scale and the alignment.
        flow_weights: A file of one level of the flow network; None takes the one that ships with the package.

    Raises:
        ConfigError: The lists do not have one entry per stage or disagree, or a number cannot work.
    """

    scale = 1

    def __init__(
        self,
        in_chans: int = 3,
        embed_dims: Sequence[int] = (16, 32, 48, 64, 48, 32, 16),
        depths: Sequence[int] = (1, 2, 2, 2, 2, 2, 1),
        flow_weights: str | None = None,
    ) -> None:
        super().__init__()
        check_arguments(in_chans, embed_dims, depths)
        self.in_channels = in_chans
        self.stage_channels = (embed_dims[0], *embed_dims)
        self.stage_scales = (1, *SCALES)
        self.flow = SharedPyramidFlow(flow_weights)
        self.conv_first = FrameConv(in_chans, embed_dims[0])
        for i, (scale, reshape) in enumerate(zip(SCALES, RESHAPES, strict=True)):
            lite_stage = LiteStage(reshape, self.stage_channels[i], embed_dims[i], depths[i], scale >= FLOW_SCALE)
            setattr(self, f'stage{i + 1}', lite_stage)
        self.conv_last = FrameConv(embed_dims[0], 3)
        nn.init.zeros_(self.conv_last.weight)
        nn.init.zeros_(self.conv_last.bias)

    def frames_out(self, frames: int) -> int:
        """Return how many frames come out for ``frames`` that go in."""
        return frames

    @staticmethod
    def cost_stages() -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('flow', 'input', *(f'stage{i}' for i in range(1, 8)), 'reconstruction')

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per stage: blocks, channels and parameters as they were really built."""
        rows = [{'part': 'flow', 'module': self.flow}, {'part': 'input', 'module': self.conv_first}]
        for i, scale in enumerate(SCALES, start=1):
            module = getattr(self, f'stage{i}')
            row = {'part': f'stage{i}', 'blocks': len(module.blocks), 'module': module}
            rows.append(row | {'channels': self.stage_channels[i], 'scale': f'1/{scale}'})
        rows.append({'part': 'reconstruction', 'module': self.conv_last})
        for row in rows:
            row['parameters'] = sum(parameter.numel() for parameter in row.pop('module').parameters())
        return rows

    def forward(self, clip: Tensor, *, fuse: Fuse | None = None) -> Tensor:
        """Restore a clip.

        Args:
            clip: (B, T, in_channels, H, W) in [0, 1].
            fuse: Called as ``fuse(i, features)`` with features (B, C, T, H, W) after the input convolution (i = 0)
                and after stages 1-7; what it returns is what the next stage and the skip connections see.

        Returns:
            (B, T, 3, H, W).
        """
        check_clip(self, clip, self.in_channels)
        height, width = clip.shape[-2:]
        clip = pad_to_multiple(clip, 8)
        image = clip[:, :, :3]
        flows = self.flows(image)
        fuse = fuse or (lambda _, features: features)
        with stage('input') as s:
            x = s.leave(self.conv_first(clip.transpose(1, 2)))
        x = self.features(fuse(0, x), flows, fuse)
        with stage('reconstruction') as s:
            out = s.leave(self.conv_last(s.enter(x)).transpose(1, 2) + image)
        return out[..., :height, :width]

    def flows(self, image: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
        """Return for the scales that are aligned the flow to the next frame and to the previous one."""
        with stage('flow') as s:
            small = F.avg_pool2d(image.flatten(0, 1), FLOW_SCALE).unflatten(0, image.shape[:2])
            scales = clip_flows(self.flow, small, distances=1)
            return {
                FLOW_SCALE * 2**i: (s.leave(backward), s.leave(forward))
                for i, ((backward,), (forward,)) in enumerate(scales[:2])
            }

    def features(self, x: Tensor, flows: dict[int, tuple[Tensor, Tensor]], fuse: Fuse) -> Tensor:
        """Run the seven stages on (B, C, T, H, W); return what leaves the last plus what left the first."""
        outputs = []
        for i, scale in enumerate(SCALES):
            if i >= 5:  # stages 6 and 7 also see what left stages 3 and 2
                x = x + outputs[7 - i]
            with stage(f'stage{i + 1}') as s:
                x = s.leave(getattr(self, f'stage{i + 1}')(s.enter(x), flows.get(scale)))
            x = fuse(i + 1, x)
            outputs.append(x)
        return x + outputs[0]


class LiteStage(nn.Module):
    """A change of scale, alignment of the neighbouring frames, residual convolutions.

    Args:
        reshape: 'none', 'down' (halved) or 'up' (doubled).
        in_channels: Channels that come in.
        channels: Channels of the stage.
        depth: Number of residual blocks; may be 0.
        aligned: Whether neighbouring frames are aligned and merged.
    """

    def __init__(self, reshape: str, in_channels: int, channels: int, depth: int, aligned: bool) -> None:
        super().__init__()
        self.reshape = make_reshape(reshape, in_channels, channels)
        self.align = SeparableAlignment(channels) if aligned else None
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(depth)))

    def forward(self, x: Tensor, flows: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the stage's features (B, channels, T, H', W') from (B, in_channels, T, H, W)."""
        frames = x.transpose(1, 2)
        x = self.reshape(frames.flatten(0, 1))
        if self.align is not None:
            with part('alignment') as p:
                x = p.enter(x)
                x = p.leave(x + self.align(x.unflatten(0, frames.shape[:2]), *flows).flatten(0, 1))
        with part('convolution') as p:
            x = p.leave(self.blocks(p.enter(x)))
        return x.unflatten(0, frames.shape[:2]).transpose(1, 2)


def make_reshape(kind: str, in_channels: int, channels: int) -> nn.Module:
    """Return what brings frames (N, C, H, W) to a stage's scale."""
    if kind == 'none':
        return nn.Identity()
    if kind == 'down':
        return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * in_channels, channels, 1))
    return nn.Sequential(nn.Conv2d(in_channels, 4 * channels, 1), nn.PixelShuffle(2))


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` with 3x3 convolutions and no normalisation, on (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class SeparableAlignment(nn.Module):
    """Merge every frame with its neighbours: warped by flow, then a depthwise and a pointwise convolution.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels)
        self.pointwise = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: Tensor, backward: Tensor, forward: Tensor) -> Tensor:
        """Return what to add to (B, T, C, H, W), given the flows (B, T-1, 2, H, W) to the next and previous frames."""
        after = F.pad(warp_frames(x[:, 1:], backward), (0, 0, 0, 0, 0, 0, 0, 1))
        before = F.pad(warp_frames(x[:, :-1], forward), (0, 0, 0, 0, 0, 0, 1, 0))
        frames = torch.cat((x, after, before), dim=2).flatten(0, 1)
        return self.pointwise(self.depthwise(frames)).unflatten(0, x.shape[:2])


def warp_frames(x: Tensor, flow: Tensor) -> Tensor:
    """Return frames (B, T, C, H, W) warped by (B, T, 2, H, W)."""
    return warp(x.flatten(0, 1), flow.flatten(0, 1)).view_as(x) if x.shape[1] else x


def check_arguments(in_chans: int, embed_dims: Sequence[int], depths: Sequence[int]) -> None:
    """Refuse arguments that cannot work; see :class:`VRTLite`."""
    for name, numbers in (('embed_dims', embed_dims), ('depths', depths)):
        if len(numbers) != len(SCALES):
            raise ConfigError(f'VRTLite: {name} has {len(numbers)} entries; expected one per stage, {len(SCALES)}')
    require_positive_integers('VRTLite', **{f'embed_dims[{i}]': number for i, number in enumerate(embed_dims)})
    if list(embed_dims) != list(embed_dims)[::-1]:
        raise ConfigError(
            f'VRTLite: stages 7 and 1, 6 and 2, 5 and 3 are added, but embed_dims={list(embed_dims)} is not the same '
            'from both ends'
        )
    if min(depths) < 0:
        raise ConfigError(f'VRTLite: depths={list(depths)}; expected numbers of blocks, 0 or more')
    if in_chans < 3:
        raise ConfigError(f'VRTLite: in_chans={in_chans}; expected at least 3, of which the first three are the image')
