"""The base of VRT and VRTLite: seven stages at scales 1 to 1/8 and back, with skip connections, for clips of any size.

Shapes: clip (B, T, C, H, W) with values in [0, 1]; features between stages (B, C, T, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from vrtspike.errors import DataError
from vrtspike.models.layers.checks import check_clip
from vrtspike.models.layers.padding import pad_to_multiple, repeat_border
from vrtspike.profiling import stage
from vrtspike.profiling.parameters import count_parameters

STAGES = 7

SCALES = (1, 2, 4, 8, 4, 2, 1)
"""Divisor of height and width in stages 1-7."""

RESHAPES = ('none', 'down', 'down', 'down', 'up', 'up', 'up')
"""How stages 1-7 change the scale."""

Fuse = Callable[[int, Tensor], Tensor]


class StagedBackbone(nn.Module):
    """Base of the backbones with seven stages.

    Subclasses build ``conv_first`` and ``stage1`` to ``stage7``, and implement :meth:`restore`.
    """

    in_channels: int
    scale = 1
    flow_steps = 0
    """Steps of spikes around each frame from which flow is computed; 0 if it is computed from the clip."""
    stage_channels: tuple[int, ...]
    stage_scales = (1, *SCALES)

    def frames_out(self, frames: int) -> int:
        """Return the number of restored frames for a clip of ``frames`` frames."""
        return frames

    def forward(self, clip: Tensor, *, fuse: Fuse | None = None, flow_spikes: Tensor | None = None) -> Tensor:
        """Restore a clip.

        Args:
            clip: (B, T, in_channels, H, W) in [0, 1].
            fuse: Called as ``fuse(i, features)`` with features (B, C, T, H, W) after the input convolution (i = 0)
                and after stages 1-7. The next stage and the skip connections get its result.
            flow_spikes: (B, T, flow_steps, Hs, Ws) of 0 and 1, the same view; needed if there are ``flow_steps``.

        Returns:
            (B, frames_out(T), out_channels, scale*H, scale*W).

        Raises:
            DataError: ``flow_spikes`` are missing or do not fit the clip.
        """
        check_clip(self, clip, self.in_channels)
        height, width = clip.shape[-2:]
        padded = pad_to_multiple(clip, max(SCALES))
        windows = [self.padded_windows(flow_spikes, clip, padded)] if self.flow_steps else []
        restored = self.restore(padded, fuse or (lambda _, features: features), *windows)
        return restored[..., : height * self.scale, : width * self.scale]

    def padded_windows(self, windows: Tensor | None, clip: Tensor, padded: Tensor) -> Tensor:
        """Return the windows of spikes of a clip, with their border repeated as that of the padded clip."""
        expected = (*clip.shape[:2], self.flow_steps)
        if windows is None or tuple(windows.shape[:3]) != expected:
            found = 'none' if windows is None else f'({", ".join(map(str, windows.shape))})'
            raise DataError(
                f"{type(self).__name__}: flow='spikes' needs the spikes around each frame, "
                f'({", ".join(map(str, expected))}, Hs, Ws), and got {found}: use data with spikes, and set '
                f'flow_steps={self.flow_steps} of BinSpikes in the pipelines'
            )
        sizes = zip(windows.shape[-2:], clip.shape[-2:], padded.shape[-2:], strict=True)
        return repeat_border(windows, *(spike * whole // rgb for spike, rgb, whole in sizes))

    def restore(self, clip: Tensor, fuse: Fuse, *windows: Tensor) -> Tensor:
        """Restore a clip with a height and width that are multiples of 8; those with ``flow_steps`` get ``windows``."""
        raise NotImplementedError

    def run_stages(self, x: Tensor, arguments: Sequence[tuple], fuse: Fuse) -> list[Tensor]:
        """Run stages 1-7 on (B, C, T, H, W), each with its own ``arguments``; return the features after each."""
        outputs: list[Tensor] = []
        for i in range(STAGES):
            if i >= 5:  # stages 6 and 7 also get the features after stages 3 and 2
                x = x + outputs[7 - i]
            with stage(f'stage{i + 1}') as s:
                x = s.leave(getattr(self, f'stage{i + 1}')(s.enter(x), *arguments[i]))
            x = fuse(i + 1, x)
            outputs.append(x)
        return outputs

    def parts_of_blur_alone(self, fusion_stage: int) -> list[nn.Module]:
        """Return the modules before ``fuse(fusion_stage, features)`` that see the blurred frames alone."""
        if self.in_channels > 3:
            return []
        return [self.conv_first, *(getattr(self, f'stage{i}') for i in range(1, fusion_stage + 1))]

    def summary_rows(self) -> list[dict[str, object]]:
        """Return one row per stage: blocks, channels, scale and parameters as built."""
        raise NotImplementedError

    def stage_row(self, i: int, blocks: object) -> dict[str, object]:
        """Return the row of stage ``i``, 1-7."""
        module = getattr(self, f'stage{i}')
        return summary_row(
            f'stage{i}', module, blocks=blocks, channels=self.stage_channels[i], scale=f'1/{self.stage_scales[i]}'
        )


def summary_row(part: str, *modules: nn.Module, **columns: object) -> dict[str, object]:
    """Return a row of a network's summary, with the number of parameters of ``modules`` in the last column."""
    return {'part': part, **columns, 'parameters': sum(map(count_parameters, modules))}
