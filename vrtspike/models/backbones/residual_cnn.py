"""ResidualCNN: frame-wise residual blocks at half the resolution, for light networks.

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features for fusion (B, C, T, H/2, W/2); frames (B*T, C, H/2, W/2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import ConfigError, require_positive_integers
from vrtspike.models.backbones.staged import Fuse, summary_row
from vrtspike.models.layers.blocks import FrameBlock
from vrtspike.models.layers.checks import check_clip
from vrtspike.models.layers.maps import from_frames, to_frames
from vrtspike.models.layers.padding import pad_to_multiple
from vrtspike.profiling import stage
from vrtspike.registry import BACKBONES

DIVISOR = 2


@BACKBONES.register_module()
class ResidualCNN(nn.Module):
    """Residual blocks at half the resolution, frame by frame (EDSR, arXiv 1707.02921, after pixel-unshuffling).

    Spike cameras have fewer pixels than RGB cameras, so at half the RGB resolution, features and spikes have about the
    same resolution. Only fusion heads mix frames. An untrained network is the identity. Feature maps are stored in
    channels-last order, for which CPUs have faster convolutions.

    Args:
        in_chans: Channels of the clip; the first three are the image.
        channels: C of the features.
        depths: Number of residual blocks of stages 1, 2, ...
        estimates_after: The stage after which features see the estimates: all channels of the clip but the last three,
            which are the blurred frame. The stages up to it then see the blurred frame alone, so these stages are
            computed once for all instants of a frame. 0 lets the input convolution see all channels.

    Raises:
        ConfigError: A number is invalid.
    """

    scale = 1

    def __init__(
        self, in_chans: int = 3, channels: int = 32, depths: Sequence[int] = (2, 3), estimates_after: int = 0
    ) -> None:
        super().__init__()
        depth = {f'depths[{i}]': number for i, number in enumerate(depths)}
        require_positive_integers(type(self).__name__, channels=channels, **depth)
        if in_chans < 3:
            raise ConfigError(f'ResidualCNN: in_chans={in_chans}; expected at least 3: the first three are the image')
        if estimates_after not in range(1 + len(depths)):
            raise ConfigError(f'ResidualCNN: {estimates_after=}; expected a stage from 1 to {len(depths)}, or 0')
        if estimates_after and in_chans == 3:
            raise ConfigError(
                f"ResidualCNN: {estimates_after=}, but the clip has no estimates: set model.start='sdm', or 0"
            )
        self.in_channels = in_chans
        self.stage_channels = (channels,) * (1 + len(depths))
        self.stage_scales = (DIVISOR,) * (1 + len(depths))
        self.estimates_after = estimates_after
        self.first = nn.Conv2d((3 if estimates_after else in_chans) * DIVISOR**2, channels, 3, padding=1)
        if estimates_after:
            self.estimates = nn.Conv2d((in_chans - 3) * DIVISOR**2, channels, 3, padding=1)
        self.stages = nn.ModuleList(nn.Sequential(*(FrameBlock(channels) for _ in range(depth))) for depth in depths)
        self.last = nn.Conv2d(channels, 3 * DIVISOR**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def frames_out(self, frames: int) -> int:
        """Return the number of frames of the result for a clip of ``frames``."""
        return frames

    def parts_of_blur_alone(self, fusion_stage: int) -> list[nn.Module]:
        """Return the modules before ``fuse(fusion_stage, features)`` that see the blurred frames alone."""
        if self.in_channels == 3:
            return [self.first, *self.stages[:fusion_stage]]
        return [self.first, *self.stages[: min(fusion_stage, self.estimates_after)]] if self.estimates_after else []

    def cost_stages(self) -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('input', *(f'stage{i + 1}' for i in range(len(self.stages))), 'reconstruction')

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per stage: blocks, channels, scale and parameters as built."""
        shape = {'channels': self.stage_channels[0], 'scale': f'1/{DIVISOR}'}
        rows = [summary_row('input', self.first)]
        rows += [summary_row('estimates', self.estimates)] if self.estimates_after else []
        rows += [summary_row(f'stage{i}', each, blocks=len(each), **shape) for i, each in enumerate(self.stages, 1)]
        return [*rows, summary_row('reconstruction', self.last)]

    def forward(self, clip: Tensor, *, fuse: Fuse | None = None) -> Tensor:
        """Restore a clip (B, T, in_chans, H, W); return (B, T, 3, H, W).

        ``fuse(i, features)`` is called after the input convolution (i = 0) and after every stage.
        """
        check_clip(self, clip, self.in_channels)
        fuse = fuse or (lambda _, features: features)
        batch, (height, width) = len(clip), clip.shape[-2:]
        frames = clip.flatten(0, 1)
        estimates, blur = frames[:, :-3], frames[:, -3:]
        with stage('input') as s:
            x = s.leave(self.first(halved(blur if self.estimates_after else frames)))
        x = to_frames(fuse(0, from_frames(x, batch)))
        for i, blocks in enumerate(self.stages, start=1):
            with stage(f'stage{i}') as s:
                x = blocks(s.enter(x))
                if i == self.estimates_after:
                    x = x + self.estimates(halved(estimates))
                x = s.leave(x)
            x = to_frames(fuse(i, from_frames(x, batch)))
        with stage('reconstruction') as s:
            change = s.leave(F.pixel_shuffle(self.last(s.enter(x)), DIVISOR))
        return clip[:, :, :3] + change[..., :height, :width].unflatten(0, clip.shape[:2])


def halved(frames: Tensor) -> Tensor:
    """Return frames (N, C, H, W) at half the size, (N, 4 C, H/2, W/2) with channels last; odd borders are repeated."""
    unshuffled = F.pixel_unshuffle(pad_to_multiple(frames, DIVISOR), DIVISOR)
    return unshuffled.contiguous(memory_format=torch.channels_last)
