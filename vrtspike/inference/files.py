"""Restores a clip from files to files: checked before work starts, in bounded memory, resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text
from torch import nn

from vrtspike.errors import DataError
from vrtspike.inference.loading import file_sha256
from vrtspike.inference.outputs import FrameFolder, claim_folder, video_code, write_video
from vrtspike.inference.restoring import Read, check_sizes, fit_tiling, input_pipeline, restored_frames
from vrtspike.inference.sources import ImageFolder, SpikeFiles, VideoFile, open_frames
from vrtspike.metrics import playback_frames
from vrtspike.models.tiling import Tiling
from vrtspike.reporting.clip_strip import clip_strip

NOTE = 'restore.json'


@dataclass(frozen=True)
class ClipFiles:
    """A clip on disk, checked.

    Args:
        frames: The blurred frames.
        spikes: Their spikes.
    """

    frames: ImageFolder | VideoFile
    spikes: SpikeFiles

    def sample(self, start: int, stop: int) -> dict[str, Any]:
        """Return frames ``start`` to ``stop`` as a data set's pipeline takes them."""
        name = str(self.frames.path)
        meta = {'name': name, 'index': 0, 'first_frame': self.frames.names[start], 'threshold': self.spikes.threshold}
        return {'blur': self.frames.read(start, stop), 'spikes': self.spikes.read(start, stop), 'meta': meta}


def open_clip(
    blur: str | os.PathLike,
    spike: str | os.PathLike,
    spike_size: tuple[int, int] | None = None,
    threshold: float | None = None,
) -> ClipFiles:
    """Return the clip of a video file or folder of images and its spikes, everything about it checked.

    Raises:
        DataError: Something is missing or does not fit.
    """
    frames = open_frames(blur)
    names = frames.names if isinstance(frames, ImageFolder) else None
    spikes = SpikeFiles(spike, len(frames), names, spike_size, threshold)
    check_sizes(frames.size, spikes.size)
    return ClipFiles(frames, spikes)


def restore_files(
    model: nn.Module,
    config: Config,
    clip: ClipFiles,
    out: str | os.PathLike,
    *,
    checkpoint: str | os.PathLike,
    tiling: Tiling,
    fit: bool = False,
    side_by_side: bool = False,
    fps: float | None = None,
) -> Path:
    """Restore a clip into a folder of PNGs or a video file, going on where an interrupted run ended.

    Args:
        model: The restorer of ``checkpoint``.
        config: Its config.
        clip: From :func:`open_clip`.
        out: A folder, or a file whose suffix is one of :data:`~vrtspike.inference.outputs.VIDEO_CODES`. Frames of a
            video wait in a hidden folder beside it until all are there.
        checkpoint: What the weights were loaded from.
        tiling: How the clip is cut.
        fit: Whether to choose the tile by the free memory instead.
        side_by_side: Write the blurred frame, the spikes played back and the restored frame beside each other.
        fps: Of a video; None takes that of the input.

    Returns:
        What was written.
    """
    out = Path(out)
    if out.is_file():
        raise DataError(f'{out} exists: delete it, or choose another --out')
    folder = out.with_name(f'.{out.name}.frames') if video_code(out) else out
    prepare = input_pipeline(config)

    def read(start: int, stop: int) -> dict[str, Any]:
        return prepare(clip.sample(start, stop))

    length = len(clip.frames)
    tiling = agreed_tiling(folder, model, read, tiling, length) if fit else tiling
    claim_folder(folder, note_of(clip, checkpoint, tiling, side_by_side), NOTE)
    target = FrameFolder(folder, clip.frames.names)
    with Progress(*Progress.get_default_columns()[:2], MofNCompleteColumn(), Rate(), TimeRemainingColumn()) as bar:
        done = target.done()
        task = bar.add_task('Restoring', total=length, completed=done, done_before=done)
        for images in restored_frames(model, read, length, tiling, done) if done < length else ():
            shown = strips(clip, read, done, images) if side_by_side else images
            target.write(done, shown)
            done += len(images)
            bar.advance(task, len(images))
    if video_code(out):
        write_video(out, target, fps or clip.frames.fps)
    return out


def agreed_tiling(folder: Path, model: nn.Module, read: Read, tiling: Tiling, length: int) -> Tiling:
    """Return the tiling that fits the memory, or the one with which an interrupted run began."""
    if (folder / NOTE).is_file():
        return Tiling(**json.loads((folder / NOTE).read_text(encoding='utf-8'))['tiling'])
    return fit_tiling(model, read, tiling, length)


def note_of(clip: ClipFiles, checkpoint: str | os.PathLike, tiling: Tiling, side_by_side: bool) -> dict[str, Any]:
    """Return what a restored clip is made from."""
    return dict(
        checkpoint_sha256=file_sha256(checkpoint),
        blur=str(clip.frames.path.resolve()),
        spike=str(clip.spikes.path.resolve()),
        frames=len(clip.frames),
        frame_size=list(clip.frames.size),
        spike_size=list(clip.spikes.size),
        threshold=clip.spikes.threshold,
        side_by_side=side_by_side,
        tiling=asdict(tiling),
    )


def strips(clip: ClipFiles, read: Read, first: int, restored: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return restored frames beside the blurred ones and the spikes played back."""
    batch = read(first, first + len(restored))
    blurred = clip.frames.read(first, first + len(restored))
    played = playback_frames(batch['spikes'][0], blurred.shape[1:3])
    names = ('blurred', 'TFP', 'restored')
    return [clip_strip(list(zip(names, images, strict=True))) for images in zip(blurred, played, restored, strict=True)]


class Rate(ProgressColumn):
    """Frames per second since this run began."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        done = task.completed - task.fields.get('done_before', 0)
        return Text(f'{done / task.elapsed:.2f} frames/s' if done and task.elapsed else '- frames/s')
