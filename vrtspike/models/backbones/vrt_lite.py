"""VRTLite: the stages of VRT with plain convolutions, for CPUs and for distillation.

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features between stages (B, C, T, H, W); frames inside a stage
(B*T, C, H, W); flows (B, T-1, 2, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError, require_positive_integers
from vrtspike.models.backbones.staged import RESHAPES, SCALES, STAGES, Fuse, StagedBackbone, summary_row
from vrtspike.models.layers.alignment import warp_frames
from vrtspike.models.layers.blocks import FrameBlock
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.flow import SharedPyramidFlow
from vrtspike.models.layers.frame_flows import flow_steps_of, frame_flows
from vrtspike.models.layers.padding import pad_frames
from vrtspike.models.layers.spike_flow import SCFlow
from vrtspike.profiling import part, stage
from vrtspike.registry import BACKBONES

FLOW_SCALE = 4
"""Flow is estimated at 1/4 of the height and width. Frames are aligned at this scale and at half of it."""


@BACKBONES.register_module()
class VRTLite(StagedBackbone):
    """A light network with the seven scales, skip connections and fusion stages of VRT, without its costly operators.

    Residual blocks of two convolutions without normalisation replace window attention. Flow warping and one separable
    convolution replace the deformable convolution and the four dense convolutions before it. Frames are aligned only at
    1/4 and 1/8 of the size, and flow is estimated at 1/4. Each of the two stages at full resolution has one narrow
    block, and there is no stage 8. Clips may have any size. Before training, the network is the identity.

    Args:
        in_chans: Channels of the clip; the first three are the image.
        embed_dims: Channels of stages 1-7. The features of stages 7 and 1, 6 and 2, 5 and 3 are added, so they must
            agree.
        depths: Residual blocks of stages 1-7; 0 leaves only the change of scale and the alignment.
        flow_weights: File with the weights of one level of the flow network, or of SCFlow. None uses those shipped with
            the package, and random ones for SCFlow.
        flow: Where flow comes from: 'rgb', the clip; or 'spikes', raw spikes around each frame, by SCFlow
            (:mod:`vrtspike.models.layers.spike_flow`), at the spikes' own size.

    Raises:
        ConfigError: The lists do not have one entry per stage or disagree, or a number is invalid.
    """

    def __init__(
        self,
        in_chans: int = 3,
        embed_dims: Sequence[int] = (16, 32, 48, 64, 48, 32, 16),
        depths: Sequence[int] = (1, 2, 2, 2, 2, 2, 1),
        flow_weights: str | None = None,
        flow: str = 'rgb',
    ) -> None:
        super().__init__()
        check_arguments(in_chans, embed_dims, depths)
        self.in_channels = in_chans
        self.stage_channels = (embed_dims[0], *embed_dims)
        self.flow_steps = flow_steps_of(flow)
        self.flow = SCFlow(flow_weights) if self.flow_steps else SharedPyramidFlow(flow_weights)
        self.conv_first = FrameConv(in_chans, embed_dims[0])
        for i, (scale, reshape) in enumerate(zip(SCALES, RESHAPES, strict=True)):
            lite_stage = LiteStage(reshape, self.stage_channels[i], embed_dims[i], depths[i], scale >= FLOW_SCALE)
            setattr(self, f'stage{i + 1}', lite_stage)
        self.conv_last = FrameConv(embed_dims[0], 3)
        nn.init.zeros_(self.conv_last.weight)
        nn.init.zeros_(self.conv_last.bias)

    @staticmethod
    def cost_stages() -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('flow', 'input', *(f'stage{i}' for i in range(1, 8)), 'reconstruction')

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per stage: blocks, channels, scale and parameters as built."""
        rows = [summary_row('flow', self.flow), summary_row('input', self.conv_first)]
        rows += [self.stage_row(i, len(getattr(self, f'stage{i}').blocks)) for i in range(1, STAGES + 1)]
        return [*rows, summary_row('reconstruction', self.conv_last)]

    def restore(self, clip: Tensor, fuse: Fuse, windows: Tensor | None = None) -> Tensor:
        """Restore a clip with a height and width that are multiples of 8; see :meth:`forward`."""
        image = clip[:, :, :3]
        flows = self.flows(image, windows)
        with stage('input') as s:
            x = s.leave(self.conv_first(clip.transpose(1, 2)))
        outputs = self.run_stages(fuse(0, x), [(flows.get(scale),) for scale in SCALES], fuse)
        x = outputs[-1] + outputs[0]
        with stage('reconstruction') as s:
            return s.leave(self.conv_last(s.enter(x)).transpose(1, 2) + image)

    def flows(self, image: Tensor, windows: Tensor | None = None) -> dict[int, tuple[Tensor, Tensor]]:
        """Return the flows to the next and to the previous frame, by the scale at which frames are aligned."""
        with stage('flow') as s:
            small = F.avg_pool2d(image.flatten(0, 1), FLOW_SCALE).unflatten(0, image.shape[:2])
            scales = frame_flows(self.flow, small, windows, distances=1, scales=(1, 2))
            return {
                FLOW_SCALE * 2**i: (s.leave(backward), s.leave(forward))
                for i, ((backward,), (forward,)) in enumerate(scales[:2])
            }


class LiteStage(nn.Module):
    """Changes the scale, aligns neighbouring frames and applies residual convolutions.

    Args:
        reshape: 'none', 'down' (halved) or 'up' (doubled).
        in_channels: Channels of the input.
        channels: Channels of the stage.
        depth: Number of residual blocks; may be 0.
        aligned: Whether neighbouring frames are aligned and merged.
    """

    def __init__(self, reshape: str, in_channels: int, channels: int, depth: int, aligned: bool) -> None:
        super().__init__()
        self.reshape = make_reshape(reshape, in_channels, channels)
        self.align = SeparableAlignment(channels) if aligned else None
        self.blocks = nn.Sequential(*(FrameBlock(channels) for _ in range(depth)))

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
    """Return the module that brings frames (N, C, H, W) to a stage's scale."""
    if kind == 'none':
        return nn.Identity()
    if kind == 'down':
        return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * in_channels, channels, 1))
    return nn.Sequential(nn.Conv2d(in_channels, 4 * channels, 1), nn.PixelShuffle(2))


class SeparableAlignment(nn.Module):
    """Merge every frame with its warped neighbours by a depthwise and a pointwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels)
        self.pointwise = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: Tensor, backward: Tensor, forward: Tensor) -> Tensor:
        """Return what to add to (B, T, C, H, W), given the flows (B, T-1, 2, H, W) to the next and previous frames."""
        after = pad_frames(warp_frames(x[:, 1:], backward), after=1)
        before = pad_frames(warp_frames(x[:, :-1], forward), before=1)
        frames = torch.cat((x, after, before), dim=2).flatten(0, 1)
        return self.pointwise(self.depthwise(frames)).unflatten(0, x.shape[:2])


def check_arguments(in_chans: int, embed_dims: Sequence[int], depths: Sequence[int]) -> None:
    """Raise :class:`ConfigError` if an argument of :class:`VRTLite` is invalid."""
    for name, numbers in (('embed_dims', embed_dims), ('depths', depths)):
        if len(numbers) != len(SCALES):
            raise ConfigError(f'VRTLite: {name} has {len(numbers)} entries; expected one per stage, {len(SCALES)}')
    require_positive_integers('VRTLite', **{f'embed_dims[{i}]': number for i, number in enumerate(embed_dims)})
    if list(embed_dims) != list(embed_dims)[::-1]:
        raise ConfigError(
            f'VRTLite: the features of stages 7 and 1, 6 and 2, 5 and 3 are added, but embed_dims={list(embed_dims)} '
            'is not symmetric'
        )
    if min(depths) < 0:
        raise ConfigError(f'VRTLite: depths={list(depths)}; expected numbers of blocks, 0 or more')
    if in_chans < 3:
        raise ConfigError(f'VRTLite: in_chans={in_chans}; expected at least 3: the first three are the image')
