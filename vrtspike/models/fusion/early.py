"""Early fusion: spikes of short parts of every exposure are fused into the clip before the backbone sees it.

Shapes: B clips, T frames, S sub-frames of an exposure, K temporal bins, H x W pixels of RGB, Hs x Ws pixels of spikes.
"""

from __future__ import annotations

from torch import Tensor, nn

from vrtspike.errors import ConfigError, require_positive_integers
from vrtspike.models.layers.conv import FrameConv
from vrtspike.models.layers.maps import resize_maps, zeroed
from vrtspike.profiling import stage
from vrtspike.registry import FUSION_HEADS, MODELS

OUTPUTS = ('collapsed', 'expanded')


@MODELS.register_module()
class EarlyFusion(nn.Module):
    """Fuse S sub-frames of spikes per frame into the clip, by any fusion head.

    Every exposure's K bins are divided into S sub-frames of K / S bins. The operator gets T * S frames: the features of
    a blurred frame S times, and those of its sub-frames. It begins as the identity: the last layer begins at zero.

    Args:
        operator: A fusion head, from FUSION_HEADS; ``channels`` is filled in. S-VRT's are GatedFusion,
            TemporalCrossAttention, SelectiveScanFusion (Mamba) and, with one sub-frame, PixelAdaptiveFusion.
        clip_channels: Channels of the clip; the restorer fills them in.
        bins: K, those of the spike representation.
        subframes: S, divides ``bins``.
        channels: C, the operator's channels.
        output: ``'collapsed'`` joins the sub-frames of a frame, so that the backbone restores T frames; ``'expanded'``
            gives it all T * S, and the middle one of each exposure is the restored frame.

    Raises:
        ConfigError: ``subframes`` does not divide ``bins``, or ``output`` is unknown.
    """

    # Read by the config's validation.
    parts = {'operator': FUSION_HEADS}  # noqa: RUF012
    filled_in = {'operator': ('channels',)}  # noqa: RUF012

    def __init__(
        self,
        operator: dict,
        clip_channels: int,
        bins: int = 32,
        subframes: int = 4,
        channels: int = 16,
        output: str = 'collapsed',
    ) -> None:
        super().__init__()
        require_positive_integers('EarlyFusion', bins=bins, subframes=subframes, channels=channels)
        if bins % subframes:
            raise ConfigError(f'EarlyFusion: {subframes=} does not divide {bins=}')
        if output not in OUTPUTS:
            raise ConfigError(f'EarlyFusion got {output=}, expected one of {", ".join(OUTPUTS)}')
        self.bins, self.subframes, self.expands = bins, subframes, output == 'expanded'
        self.rgb = FrameConv(clip_channels, channels)
        self.spike = FrameConv(bins // subframes, channels)
        self.operator = FUSION_HEADS.build(dict(operator, channels=channels))
        self.out = zeroed(FrameConv(channels if self.expands else channels * subframes, clip_channels))

    def forward(self, clip: Tensor, spikes: Tensor) -> Tensor:
        """Fuse spikes into a clip.

        Args:
            clip: (B, T, clip_channels, H, W).
            spikes: (B, T, K, Hs, Ws) of the same field of view.

        Returns:
            The clip for the backbone, (B, T, clip_channels, H, W), or T * S frames if expanded.

        Raises:
            ConfigError: The spikes have another number of bins.
        """
        if spikes.shape[2] != self.bins:
            raise ConfigError(
                f'EarlyFusion(bins={self.bins}) got spikes of {spikes.shape[2]} bins: set bins to those of the '
                'spike representation'
            )
        with stage('early_fusion') as s:
            clip, count = s.enter(clip), self.subframes
            parts = spikes.unflatten(2, (count, -1)).flatten(1, 2).transpose(1, 2)
            rgb = self.rgb(clip.transpose(1, 2)).repeat_interleave(count, dim=2)
            fused = self.operator(rgb, self.spike(resize_maps(parts, clip.shape[-2:])))
            if self.expands:
                return s.leave(clip.repeat_interleave(count, dim=1) + self.out(fused).transpose(1, 2))
            joined = fused.unflatten(2, (-1, count)).transpose(2, 3).flatten(1, 2)
            return s.leave(clip + self.out(joined).transpose(1, 2))

    def select(self, restored: Tensor) -> Tensor:
        """Return one restored frame per exposure of what the backbone restored, (B, T, 3, H, W)."""
        return restored[:, self.subframes // 2 :: self.subframes] if self.expands else restored
