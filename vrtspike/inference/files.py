"""Restores a clip from files to files. Inputs are checked first, memory is bounded, and a run can be resumed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from mmengine.config import Config
from rich.progress import ProgressColumn, Task
from rich.text import Text
from torch import nn

from vrtspike.datasets.clips import Batch, playback
from vrtspike.datasets.instants import margin_of
from vrtspike.datasets.io.video import ImageFolder, VideoFile, open_frames
from vrtspike.errors import DataError
from vrtspike.inference.loading import file_sha256
from vrtspike.inference.outputs import DEFAULT_FPS, FrameFolder, frame_folder, record_inputs, video_of_frames
from vrtspike.inference.raw_clip import RawClip
from vrtspike.inference.restoring import (
    ClipAtInstants,
    Prepare,
    Read,
    check_sizes,
    fit_tiling,
    input_pipeline,
    require_spikes,
    restored_frames,
    restored_instants,
)
from vrtspike.inference.spike_files import NOTHING_STATED, SpikeFileOptions, SpikeFiles
from vrtspike.metrics import playback_frames
from vrtspike.models.tiling import Tiling
from vrtspike.reporting.clip_strip import clip_strip
from vrtspike.runtime.progress import step_progress

INPUTS_FILE = 'restore.json'


class Playback:
    """The exposures of a spike camera in place of the frames of an RGB camera: grey images, by TFP.

    Args:
        spikes: The spikes. Frames have the names of their files, or numbers for the exposures of one recording.
    """

    fps: float | None = None

    def __init__(self, spikes: SpikeFiles) -> None:
        self.spikes = spikes
        self.path, self.size = spikes.path, spikes.size
        numbered = [f'{i:06d}' for i in range(len(self))]
        self.names = [file.stem for file in spikes.files] if self.path.is_dir() else numbered

    def __len__(self) -> int:
        return self.spikes.frames

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return frames (T, Hs, Ws, 3) uint8."""
        return playback(self.spikes.read(start, stop), self.spikes.threshold, self.spikes.light)


@dataclass(frozen=True)
class ClipFiles:
    """A clip on disk whose files have been checked.

    Args:
        frames: The blurred frames; a :class:`Playback` without any.
        spikes: Their spikes; None for networks that use none.
    """

    frames: ImageFolder | VideoFile | Playback
    spikes: SpikeFiles | None

    def read(self, start: int, stop: int, margin: int = 0) -> RawClip:
        """Return frames ``start`` to ``stop``, with ``margin`` steps of spikes beside the exposures."""
        clip = RawClip(self.frames.read(start, stop), str(self.frames.path), self.frames.names[start])
        if self.spikes is None:
            return clip
        spikes = self.spikes.read_around(start, stop, margin)
        return clip._replace(spikes=spikes, threshold=self.spikes.threshold, light=self.spikes.light)


def open_clip(
    blur: str | os.PathLike | None, spike: str | os.PathLike | None, options: SpikeFileOptions = NOTHING_STATED
) -> ClipFiles:
    """Check a video file or folder of images and its spikes, if any, and return the clip.

    Args:
        blur: Video file or folder of images; None for networks that restore from spikes alone.
        spike: Folder of spike files, or one file; None for networks that use no spikes.
        options: What is stated about the spike files.

    Raises:
        DataError: Something is missing or does not match.
    """
    if blur is None:
        if spike is None:
            raise DataError('there is nothing to restore: give --blur, --spike or both')
        spikes = SpikeFiles(spike, None, options=options)
        return ClipFiles(Playback(spikes), spikes)
    if options.steps_per_frame is not None:
        raise DataError(
            f'got --steps-per-frame {options.steps_per_frame} with --blur: frames already divide the spikes'
        )
    frames = open_frames(blur)
    if spike is None:
        if options.exposure_steps is not None:
            raise DataError(f'got --exposure-steps {options.exposure_steps} without --spike: it is about spike files')
        return ClipFiles(frames, None)
    spikes = SpikeFiles(spike, len(frames), frames.names if isinstance(frames, ImageFolder) else None, options)
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
    instants: tuple[float, ...] | None = None,
) -> Path:
    """Restore a clip into a folder of PNGs or a video file. An interrupted run is resumed.

    Args:
        model: The restorer of ``checkpoint``.
        config: Its config.
        clip: From :func:`open_clip`.
        out: A folder, or a file with a suffix of :data:`~vrtspike.datasets.io.video.VIDEO_CODES`. Until a
            video is complete, its frames are in a hidden folder beside it.
        checkpoint: Path of the weights.
        tiling: How the clip is divided into tiles.
        fit: Whether to choose the tile size from the free memory.
        side_by_side: Write the blurred input, TFP and the restored frame side by side.
        fps: Frame rate of a video; None uses that of the input, times the number of instants.
        instants: Instants of each exposure to restore, 0 to 1, in order; the images are then called
            ``<frame>@<instant>.png``. None restores the middle.

    Returns:
        The folder or file that was written.

    Raises:
        DataError: The network needs spikes or frames and the clip has none, or the output cannot be written.
    """
    require_spikes(model, clip.spikes is not None)
    if isinstance(clip.frames, Playback) and not model.restores_grey:
        raise DataError(
            'this network restores blurred frames, and the clip has none: give --blur, or use a network '
            "that restores from spikes alone, with model.start='spikes'"
        )
    out = Path(out)
    folder = frame_folder(out)
    prepare = input_pipeline(config)

    def read(start: int, stop: int) -> Batch:
        return prepare(clip.read(start, stop))

    length = len(clip.frames)
    tiling = fitted_tiling(folder, model, read, tiling, length) if fit else tiling
    record_inputs(folder, restore_inputs(clip, checkpoint, tiling, side_by_side, instants), INPUTS_FILE)
    per_frame = 1 if instants is None else len(instants)
    target = FrameFolder(folder, frame_names(clip, instants))
    with step_progress(Rate()) as bar:
        done = target.done() // per_frame
        task = bar.add_task('Restoring', total=length, completed=done, done_before=done)
        for images in restored_parts(model, clip, prepare, tiling, instants, done) if done < length else ():
            shown = strips(clip, read, done, images) if side_by_side else images.reshape(-1, *images.shape[-3:])
            target.write(done * per_frame, shown)
            done += len(images)
            bar.advance(task, len(images))
    if folder != out:
        video_of_frames(out, target, fps or (clip.frames.fps or DEFAULT_FPS) * per_frame)
    return out


def frame_names(clip: ClipFiles, instants: tuple[float, ...] | None) -> list[str]:
    """Return the names of the restored images in time order, without suffix."""
    if instants is None:
        return list(clip.frames.names)
    return [f'{name}@{instant:.4f}' for name in clip.frames.names for instant in instants]


def restored_parts(
    model: nn.Module,
    clip: ClipFiles,
    prepare: Prepare,
    tiling: Tiling,
    instants: tuple[float, ...] | None,
    first: int,
) -> Iterator[np.ndarray]:
    """Yield restored frames (t, H, W, 3) uint8 in time order, or with instants (t, instants, H, W, 3)."""
    length = len(clip.frames)
    if instants is None:
        return restored_frames(model, lambda *span: prepare(clip.read(*span)), length, tiling, first)
    margin = 0 if clip.spikes is None else margin_of(instants, clip.spikes.steps)
    if margin and not clip.spikes.knows(margin):
        warnings.warn(clip.spikes.unknown_margin(), stacklevel=2)
    at_instants = ClipAtInstants(lambda *span: clip.read(*span, margin), prepare, length, instants)
    return restored_instants(model, at_instants, tiling, first)


def even_instants(count: int) -> tuple[float, ...]:
    """Return the centres of ``count`` equal parts of the exposure."""
    return tuple((2 * k + 1) / (2 * count) for k in range(count))


def fitted_tiling(folder: Path, model: nn.Module, read: Read, tiling: Tiling, length: int) -> Tiling:
    """Return the tiling of the interrupted run in the folder, or else the largest one that fits into memory."""
    earlier = folder / INPUTS_FILE
    if earlier.is_file():
        return msgspec.json.decode(earlier.read_bytes(), type=RestoreInputs).tiling
    return fit_tiling(model, read, tiling, length)


class RestoreInputs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that a restored clip depends on, as ``restore.json`` records it."""

    checkpoint_sha256: str
    blur: str
    spike: str | None
    frames: int
    frame_size: tuple[int, int]
    spike_size: tuple[int, int] | None
    threshold: float | None
    light: str = 'linear'
    side_by_side: bool
    tiling: Tiling
    instants: tuple[float, ...] | None = None
    steps_outside: int = 0
    gapless: bool = False


def restore_inputs(
    clip: ClipFiles,
    checkpoint: str | os.PathLike,
    tiling: Tiling,
    side_by_side: bool,
    instants: tuple[float, ...] | None,
) -> RestoreInputs:
    """Return what a restored clip depends on."""
    spikes = clip.spikes
    return RestoreInputs(
        checkpoint_sha256=file_sha256(checkpoint),
        blur=str(clip.frames.path.resolve()),
        spike=spikes and str(spikes.path.resolve()),
        frames=len(clip.frames),
        frame_size=clip.frames.size,
        spike_size=spikes and spikes.size,
        threshold=spikes and spikes.threshold,
        light='linear' if spikes is None else spikes.light,
        side_by_side=side_by_side,
        tiling=tiling,
        instants=instants,
        steps_outside=0 if spikes is None else spikes.steps_outside,
        gapless=instants is not None and spikes is not None and spikes.path.is_dir() and spikes.gapless,
    )


def strips(clip: ClipFiles, read: Read, first: int, restored: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return each restored frame side by side with the blurred input and, where there are spikes, TFP."""
    blurred = clip.frames.read(first, first + len(restored))
    rows = {'blurred': blurred, 'TFP': None, 'restored': restored}
    if clip.spikes is not None:
        spikes = read(first, first + len(restored))['spikes'][0]
        rows['TFP'] = playback_frames(spikes, blurred.shape[1:3], clip.spikes.light)
    rows = {name: images for name, images in rows.items() if images is not None}
    return [clip_strip(list(zip(rows, images, strict=True))) for images in zip(*rows.values(), strict=True)]


class Rate(ProgressColumn):
    """Column with the frames per second of this run."""

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        done = task.completed - task.fields.get('done_before', 0)
        return Text(f'{done / task.elapsed:.2f} frames/s' if done and task.elapsed else '- frames/s')
