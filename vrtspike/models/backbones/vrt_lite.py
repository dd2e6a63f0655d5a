"""VRTLite: VRT's course of stages made of separable convolutions, for CPUs and for distillation.

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features between stages (B, C, T, H, W); inside a stage (B, T, H,
W, C), so that pointwise layers are plain matrix products; flows (B, T-1, 2, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError
from vrtspike.models.backbones.vrt import RESHAPES, SCALES, pad_to_multiple
from vrtspike.models.backbones.vrt_stage import make_reshape
from vrtspike.models.layers.arguments import require_positive, require_positive_integers
from vrtspike.models.layers.flow import clip_flows
from vrtspike.models.layers.frame_conv import FrameConv
from vrtspike.models.layers.shared_flow import SharedPyramidFlow
from vrtspike.models.layers.warp import warp
from vrtspike.profiling import stage
from vrtspike.registry import BACKBONES

FLOW_SCALE = 4
"""Divisor of the size at which flow is found; frames are aligned at this scale and at half of it."""

Fuse = Callable[[int, Tensor], Tensor]


@BACKBONES.register_module()
class VRTLite(nn.Module):
    """A light network with VRT's seven scales, skips and fusion places, and none of its costly operators.

    Attention in windows becomes gated depthwise convolution. Deformable convolution behind four dense ones becomes
    flow warping and one separable convolution, at 1/4 and 1/8 of the size alone, where its motion is found too. Few
    blocks run at full resolution, and there is no stage 8. Clips may have any size; untrained it is the identity.

    Args:
        in_chans: Channels of the clip; the first three are the image.
        embed_dims: Channels of stages 1-7. Stages of one scale are added and so agree: 7 and 1, 6 and 2, 5 and 3.
        depths: Blocks of stages 1-7.
        kernel_size: Side of the depthwise convolutions, odd.
        mlp_ratio: Channels of each of a block's two gated branches per channel.
        flow_weights: A file of one level of flow network; None takes the one that ships with the package.

    Raises:
        ConfigError: The lists do not have one entry per stage or disagree, or a number cannot work.
    """

    scale = 1

    def __init__(
        self,
        in_chans: int = 3,
        embed_dims: Sequence[int] = (16, 32, 48, 64, 48, 32, 16),
        depths: Sequence[int] = (1, 2, 2, 2, 2, 2, 1),
        kernel_size: int = 3,
        mlp_ratio: float = 2.0,
        flow_weights: str | None = None,
    ) -> None:
        super().__init__()
        check_arguments(in_chans, embed_dims, depths, kernel_size, mlp_ratio)
        self.in_channels = in_chans
        self.stage_channels = (embed_dims[0], *embed_dims)
        self.stage_scales = (1, *SCALES)
        self.flow = SharedPyramidFlow(flow_weights)
        self.conv_first = FrameConv(in_chans, embed_dims[0])
        for i, (scale, reshape) in enumerate(zip(SCALES, RESHAPES, strict=True)):
            lite_stage = LiteStage(
                reshape, self.stage_channels[i], embed_dims[i], depths[i], kernel_size, mlp_ratio, scale >= FLOW_SCALE
            )
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
        if clip.ndim != 5 or clip.shape[2] != self.in_channels:
            raise ValueError(f'VRTLite: expected a clip (B, T, {self.in_channels}, H, W), found {tuple(clip.shape)}')
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
    """A change of scale, alignment of the neighbouring frames, gated separable blocks.

    Args:
        reshape: 'none', 'down' or 'up'; see :func:`~vrtspike.models.backbones.vrt_stage.make_reshape`.
        in_channels: Channels that come in.
        channels: Channels of the stage.
        depth: Number of blocks.
        kernel_size: Side of the depthwise convolutions.
        mlp_ratio: Channels of each gated branch per channel.
        aligned: Whether neighbouring frames are aligned and merged.
    """

    def __init__(
        self,
        reshape: str,
        in_channels: int,
        channels: int,
        depth: int,
        kernel_size: int,
        mlp_ratio: float,
        aligned: bool,
    ) -> None:
        super().__init__()
        self.reshape = make_reshape(reshape, in_channels, channels)
        self.align = SeparableAlignment(channels, kernel_size) if aligned else None
        self.blocks = nn.Sequential(*(GatedSeparableBlock(channels, kernel_size, mlp_ratio) for _ in range(depth)))

    def forward(self, x: Tensor, flows: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the stage's features (B, channels, T, H', W') from (B, in_channels, T, H, W)."""
        x = self.reshape(x).permute(0, 2, 3, 4, 1)
        if self.align is not None:
            x = x + self.align(x, *flows)
        return self.blocks(x).permute(0, 4, 1, 2, 3)


class SeparableAlignment(nn.Module):
    """Merge every frame with its neighbours: warped by flow, then one depthwise and one pointwise convolution."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(3 * channels, kernel_size)
        self.pointwise = nn.Linear(3 * channels, channels)

    def forward(self, x: Tensor, backward: Tensor, forward: Tensor) -> Tensor:
        """Return what to add to (B, T, H, W, C), given the flows (B, T-1, 2, H, W) to the next and previous frames."""
        after = F.pad(warp_frames(x[:, 1:], backward), (0, 0, 0, 0, 0, 0, 0, 1))
        before = F.pad(warp_frames(x[:, :-1], forward), (0, 0, 0, 0, 0, 0, 1, 0))
        return self.pointwise(self.depthwise(torch.cat((x, after, before), dim=-1)))


def warp_frames(x: Tensor, flow: Tensor) -> Tensor:
    """Return frames (B, T, H, W, C) warped by (B, T, 2, H, W)."""
    if not x.numel():
        return x
    warped = warp(x.permute(0, 1, 4, 2, 3).flatten(0, 1), flow.flatten(0, 1))
    return warped.unflatten(0, x.shape[:2]).permute(0, 1, 3, 4, 2)


class GatedSeparableBlock(nn.Module):
    """``x + fc2(gelu(a) * b)`` with (a, b) from norm, a pointwise and a depthwise convolution, on (B, T, H, W, C)."""

    def __init__(self, channels: int, kernel_size: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = max(1, round(channels * mlp_ratio))
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, 2 * hidden)
        self.depthwise = DepthwiseConv(2 * hidden, kernel_size)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.depthwise(self.fc1(self.norm(x))).chunk(2, dim=-1)
        return x + self.fc2(F.gelu(gate) * value)


class DepthwiseConv(nn.Conv2d):
    """A depthwise convolution of every frame of (B, T, H, W, C), which stays channels last in memory."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.flatten(0, 1).permute(0, 3, 1, 2)
        return super().forward(frames).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


def check_arguments(
    in_chans: int, embed_dims: Sequence[int], depths: Sequence[int], kernel_size: int, mlp_ratio: float
) -> None:
    """Refuse arguments that cannot work; see :class:`VRTLite`."""
    for name, numbers in (('embed_dims', embed_dims), ('depths', depths)):
        if len(numbers) != len(SCALES):
            raise ConfigError(f'VRTLite: {name} has {len(numbers)} entries; expected one per stage, {len(SCALES)}')
        require_positive_integers('VRTLite', **{f'{name}[{i}]': number for i, number in enumerate(numbers)})
    if list(embed_dims) != list(embed_dims)[::-1]:
        raise ConfigError(
            f'VRTLite: stages 7 and 1, 6 and 2, 5 and 3 are added, but embed_dims={list(embed_dims)} is not the same '
            'from both ends'
        )
    require_positive_integers('VRTLite', kernel_size=kernel_size)
    require_positive('VRTLite', mlp_ratio=mlp_ratio)
    if in_chans < 3 or kernel_size % 2 == 0:
        raise ConfigError(
            f'VRTLite: in_chans={in_chans} (at least 3, the image first) and kernel_size={kernel_size} (an odd number)'
        )
