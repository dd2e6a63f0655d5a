"""Writes pictures of the held-out clips at every validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.runner import Runner
from mmengine.visualization import LocalVisBackend

from vrtspike.hooks.observing import ObservingHook
from vrtspike.metrics import clip_name, file_stem, luma, playback_frames, psnr, to_uint8_frames
from vrtspike.registry import HOOKS
from vrtspike.reporting.clip_strip import clip_strip
from vrtspike.runtime.atomic_write import write_png


@HOOKS.register_module()
class ClipPicturesHook(ObservingHook):
    """Writes one picture per validation clip: its middle frame as blurred input, TFP, restored frame and target.

    The pictures are in the run's folder as ``pictures/<sequence>_<first frame>.png``. Each validation replaces them.
    With several processes only the clips of the main process get pictures. TensorBoard and similar backends receive the
    pictures of every validation.

    Args:
        max_clips: Number of clips that get a picture, counted from the first; None for all, 0 for none.
    """

    gives = 'pictures of validation clips'

    def __init__(self, max_clips: int | None = None) -> None:
        self.max_clips = max_clips
        self._written = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Count the clips of this validation from zero."""
        self._written = 0

    @master_only
    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence[dict] | None = None
    ) -> None:
        """Write the pictures of one batch's clips."""
        for i, sample in enumerate(outputs):
            if self.max_clips is not None and self._written >= self.max_clips:
                return
            name = file_stem(clip_name(data_batch, i))
            strip = clip_strip(clip_panels(data_batch, i, sample))
            write_png(Path(runner.work_dir, 'pictures', f'{name}.png'), strip)
            show(runner, f'pictures/{name}', strip)
            self._written += 1

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Log where the pictures are."""
        if self._written:
            runner.logger.info(f'Pictures of {self._written} clips: {Path(runner.work_dir, "pictures")}')


def show(runner: Runner, name: str, image: np.ndarray) -> None:
    """Give an image (H, W, 3) to the visualizer's backends, except the local one, which would keep every file."""
    for backend in runner.visualizer._vis_backends.values():
        if not isinstance(backend, LocalVisBackend):
            backend.add_image(name, image, step=runner.iter)


def clip_panels(batch: dict, i: int, sample: dict) -> list[tuple[str, np.ndarray]]:
    """Return captions and images of the middle frame of a batch's ``i``-th clip. Missing inputs are left out.

    ``batch`` has ``blur`` (B, T, 3, H, W) and optionally ``spikes`` and ``sharp``; ``sample`` is the model's output for
    the clip, with ``restored`` (T, 3, H, W) in [0, 1].
    """
    middle = slice(len(sample['restored']) // 2, len(sample['restored']) // 2 + 1)
    blur, restored = (to_uint8_frames(frames[middle])[0] for frames in (batch['blur'][i], sample['restored']))
    sharp = None if batch.get('sharp') is None else to_uint8_frames(batch['sharp'][i][middle])[0]
    panels = [(_caption('blurred', blur, sharp), blur)]
    if batch.get('spikes') is not None:
        played = playback_frames(batch['spikes'][i][middle], blur.shape[:2], batch['meta']['light'][i])[0]
        panels.append((_caption('TFP', played, None if sharp is None else luma(sharp[None])[0]), played))
    panels.append((_caption('restored', restored, sharp), restored))
    return panels if sharp is None else [*panels, ('sharp', sharp)]


def _caption(name: str, image: np.ndarray, reference: np.ndarray | None) -> str:
    return name if reference is None else f'{name} {psnr(image, reference):.2f} dB'
