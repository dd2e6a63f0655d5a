"""A backbone for comparing fusion heads, which trains in a minute on a CPU core."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from vrtspike.errors import require_positive_integers
from vrtspike.models.layers.blocks import FrameBlock
from vrtspike.models.layers.padding import pad_to_multiple
from vrtspike.profiling import stage
from vrtspike.registry import BACKBONES

Fuse = Callable[[int, Tensor], Tensor]
DIVISOR = 2


@BACKBONES.register_module()
class ResidualCNN(nn.Module):
    """Residual blocks at half the resolution, frame by frame (EDSR, arXiv 1707.02921, after pixel-unshuffling).

    Only fusion heads mix frames. Before training it is the identity.

    Args:
        channels: C of the features.
        depths: Number of residual blocks of stages 1, 2, ...
    """

    scale = 1
    in_channels = 3

    def __init__(self, channels: int = 32, depths: tuple[int, ...] = (2, 3)) -> None:
        super().__init__()
        require_positive_integers(type(self).__name__, channels=channels)
        self.stage_channels = (channels,) * (1 + len(depths))
        self.stage_scales = (DIVISOR,) * (1 + len(depths))
        self.first = nn.Conv2d(3 * DIVISOR**2, channels, 3, padding=1)
        self.stages = nn.ModuleList(nn.Sequential(*(FrameBlock(channels) for _ in range(depth))) for depth in depths)
        self.last = nn.Conv2d(channels, 3 * DIVISOR**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def frames_out(self, frames: int) -> int:
        """Return the number of frames of the result for a clip of ``frames``."""
        return frames

    def cost_stages(self) -> tuple[str, ...]:
        """Return the names of the marked stages, in the order they run."""
        return ('input', *(f'stage{i + 1}' for i in range(len(self.stages))), 'reconstruction')

    def forward(self, clip: Tensor, *, fuse: Fuse | None = None) -> Tensor:
        """Restore a clip (B, T, 3, H, W); ``fuse(i, features)`` is called after the input (i = 0) and every stage."""
        fuse = fuse or (lambda _, features: features)
        frames = clip.flatten(0, 1)
        height, width = frames.shape[-2:]
        padded = pad_to_multiple(frames, DIVISOR)

        def fused(i: int, x: Tensor) -> Tensor:
            """Hand frames (B*T, C, h, w) to ``fuse`` as a map (B, C, T, h, w)."""
            features = x.unflatten(0, clip.shape[:2]).transpose(1, 2)
            return fuse(i, features).transpose(1, 2).flatten(0, 1)

        with stage('input') as s:
            x = s.leave(self.first(F.pixel_unshuffle(padded, DIVISOR)))
        x = fused(0, x)
        for i, blocks in enumerate(self.stages, start=1):
            with stage(f'stage{i}') as s:
                x = s.leave(blocks(s.enter(x)))
            x = fused(i, x)
        with stage('reconstruction') as s:
            out = s.leave(F.pixel_shuffle(self.last(s.enter(x)), DIVISOR))
        return clip + out[..., :height, :width].view_as(clip)
