"""Reads the spikes of one clip on demand from files of any length. The files are checked at construction."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vrtspike.datasets.instants import ExposureSpikes, windows_of_stream, with_unknown_margin
from vrtspike.datasets.io.listing import files_in_time_order
from vrtspike.datasets.io.spike_formats import SPIKE_SUFFIXES, count_steps, read_spikes
from vrtspike.datasets.io.video import first_few
from vrtspike.datasets.sources.description import describe_spikes
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.datasets.spike_layout_check import bit_order_problem
from vrtspike.errors import DataError


@dataclass(frozen=True)
class SpikeFileOptions:
    """What is stated about spike files.

    Args:
        size: (Hs, Ws) of the spikes; None uses ``spike_h`` and ``spike_w`` from the nearest ``config.yaml``, or the
            size of an array.
        threshold: Firing threshold; None uses that of ``config.yaml``.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames. None
            uses ``light`` of ``config.yaml``, or linear light.
        keep_columns: Columns to keep: 400 if the sensor has 416 and wrote its header into the last 16. None keeps all.
        steps_per_frame: Steps of an exposure, for spikes alone in one file.
        exposure_steps: Steps of the exposure in the middle of each file, if files also have steps before and after it.
        layout: How the files store their spikes; what is None comes from ``config.yaml``, or from the rule.
    """

    size: tuple[int, int] | None = None
    threshold: float | None = None
    light: str | None = None
    keep_columns: int | None = None
    steps_per_frame: int | None = None
    exposure_steps: int | None = None
    layout: SpikeLayout = USUAL_LAYOUT


NOTHING_STATED = SpikeFileOptions()


class SpikeFiles:
    """The spikes of a clip: one file per frame in a folder, or one file for the whole clip.

    Files are raw bits or arrays, see :mod:`vrtspike.datasets.io.spike_formats`.

    Args:
        path: The folder, or the file; its steps are divided equally among the frames.
        frames: Number of frames; None for spikes alone, as many as there are files, or exposures of
            ``steps_per_frame`` steps in one file. Steps at its end that fill no exposure are not used.
        names: Names of the frames, in order; None if they have none, as in a video.
        options: What is stated about the files.

    Raises:
        DataError: Files are missing or differ in length, the size or the threshold is unknown, or exposures are
            not in the middle of the files.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        frames: int | None,
        names: Sequence[str] | None = None,
        options: SpikeFileOptions = NOTHING_STATED,
    ) -> None:
        steps_per_frame, exposure_steps = options.steps_per_frame, options.exposure_steps
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f'{path} does not exist: name the folder of the spike files, or one spike file')
        self.files = self._files_in_folder(frames, names) if self.path.is_dir() else [self.path]
        known = describe_spikes(
            self.files[0],
            size=options.size,
            threshold=options.threshold,
            light=options.light,
            keep_columns=options.keep_columns,
            layout=options.layout,
        )
        self.stored_size, self.size, self.layout = known.stored_size, known.size, known.layout
        self.threshold, self.light = known.threshold, known.light
        if self.threshold is None:
            raise DataError(
                f'the threshold of the spikes in {path} is unknown: spike files do not contain it, and no config.yaml '
                'near them has spike_h, spike_w and threshold: give --threshold'
            )
        steps = {file: count_steps(file, *self.stored_size, self.layout) for file in dict.fromkeys(self.files)}
        self.steps = next(iter(steps.values()))
        if problem := bit_order_problem(self.files[0], self.stored_size, self.layout):
            warnings.warn(problem, stacklevel=2)
        different = [f'{file.name} has {n}' for file, n in steps.items() if n != self.steps]
        if different:
            raise DataError(
                f'the spike files of {path} differ in their number of steps: {self.files[0].name} has {self.steps}, '
                f'{first_few(different)}'
            )
        if self.path.is_dir():
            self.frames = len(self.files)
            if steps_per_frame is not None:
                raise DataError(
                    f'{self.path} is a folder with a file per frame, got --steps-per-frame {steps_per_frame}: leave it '
                    'out, or give --exposure-steps if only some steps of each file are the exposure'
                )
        elif frames is None:
            self.frames, self.steps = exposures(self.path, self.steps, steps_per_frame), steps_per_frame
        else:
            self.frames = frames
            self.steps, rest = divmod(self.steps, frames)
            if rest or not self.steps:
                raise DataError(
                    f'{path} has {self.steps * frames + rest} steps, which cannot be divided equally among {frames} '
                    'frames: cut the spikes to the exposure of the video, or check the spike size'
                )
        #: Steps that each file has before its exposure, and after it.
        self.steps_outside = 0 if exposure_steps is None else self.steps_beside(exposure_steps)
        self.steps -= 2 * self.steps_outside
        # Whether each exposure begins where the one before it ends.
        self.gapless = not self.steps_outside and (not self.path.is_dir() or known.interval == self.steps)

    def steps_beside(self, exposure_steps: int) -> int:
        """Return how many steps each file has before an exposure in its middle."""
        if not self.path.is_dir():
            raise DataError(
                f'{self.path} is one file, got --exposure-steps {exposure_steps}, which is for a file per frame'
            )
        before, rest = divmod(self.steps - exposure_steps, 2)
        if rest or before < 0 or exposure_steps < 1:
            raise DataError(
                f'the spike files of {self.path} have {self.steps} steps, got --exposure-steps {exposure_steps}: '
                f'expected an {"odd" if self.steps % 2 else "even"} number from 1 to {self.steps}'
            )
        return before

    def _files_in_folder(self, frames: int | None, names: Sequence[str] | None) -> list[Path]:
        files = files_in_time_order(self.path, SPIKE_SUFFIXES)
        by_name = {file.stem: file for file in files}
        missing = [name for name in names or () if name not in by_name]
        if missing:
            raise DataError(
                f'{self.path} has no spikes for {len(missing)} of {frames} frames: {first_few(missing)}; expected a '
                'file NAME.dat (or .npy, .npz, .mat) for each frame NAME'
            )
        if names is not None:
            return [by_name[name] for name in names]
        if frames not in (None, len(files)):
            raise DataError(
                f'{self.path} has {len(files)} spike files, but there are {frames} frames: expected one per frame'
            )
        return files

    def knows(self, margin: int) -> bool:
        """Return whether the files have this many steps on both sides of every exposure.

        Before the first exposure and after the last one, they need none.
        """
        return self.gapless or margin <= self.steps_outside

    def unknown_margin(self) -> str:
        """Return what a user should know, and can do, about steps that the files do not have."""
        if self.steps_outside:
            return f'{self.path} has {self.steps_outside} steps beside each exposure: frames near its ends are noisier'
        return (
            f'what {self.path} has beside each exposure is unknown, so frames near its ends are noisier: if exposures '
            f'follow each other without a gap, write interval: {self.steps} beside spike_h, spike_w and threshold into '
            'a config.yaml near it'
        )

    def read_around(self, start: int, stop: int, margin: int) -> ExposureSpikes:
        """Return the spikes of these frames, and ``margin`` steps beside their exposures."""
        if not margin:
            return ExposureSpikes(self.read(start, stop))
        if not self.gapless:
            beside = min(margin, self.steps_outside)
            return with_unknown_margin(self.read(start, stop, beside), margin - beside)._replace(margin=margin)
        beside = -(-margin // self.steps)
        first = max(start - beside, 0)
        stream = self.read(first, min(stop + beside, self.frames)).reshape(-1, *self.size)
        return windows_of_stream(stream, (start - first) * self.steps, stop - start, self.steps, margin)

    def read(self, start: int, stop: int, beside: int = 0) -> np.ndarray:
        """Return spikes (T, steps, Hs, Ws) uint8, and as many steps ``beside`` each exposure of what its file has."""
        columns = (0, self.size[1])
        if self.path.is_dir():
            window = {'start': self.steps_outside - beside, 'steps': self.steps + 2 * beside, 'columns': columns}
            files = self.files[start:stop]
            return np.stack([read_spikes(file, *self.stored_size, self.layout, **window) for file in files])
        window = {'start': start * self.steps, 'steps': (stop - start) * self.steps, 'columns': columns}
        spikes = read_spikes(self.path, *self.stored_size, self.layout, **window)
        return spikes.reshape(stop - start, self.steps, *self.size)


def exposures(path: Path, steps: int, steps_per_frame: int | None) -> int:
    """Return how many exposures of ``steps_per_frame`` steps a recording of ``steps`` steps has, at least one."""
    if steps_per_frame is None or not 1 <= steps_per_frame <= steps:
        given = 'no number' if steps_per_frame is None else steps_per_frame
        raise DataError(
            f'{path} is one recording of {steps} steps without frames, and got {given} of steps per frame: give '
            f'--steps-per-frame, from 1 to {steps}'
        )
    return steps // steps_per_frame
