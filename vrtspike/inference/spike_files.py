"""Spikes of one clip in files of any length, read on demand. Everything is checked at construction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vrtspike.datasets.io.video import first_few
from vrtspike.datasets.sources.folders import read_config
from vrtspike.datasets.spike_dat import count_spike_steps, read_spike_dat
from vrtspike.errors import DataError

#: Number of folders that are searched for a config.yaml, upwards from <root>/<split>/<sequence>/spike.
CONFIG_FOLDERS = 4


class SpikeFiles:
    """The spikes of a clip: one ``.dat`` file per frame in a folder, or one file for the whole clip.

    Args:
        path: The folder, or the file; its steps are divided equally among the frames.
        frames: Number of frames.
        names: Names of the frames, in order; None if they have none, as in a video.
        size: (Hs, Ws) of the spikes; None takes ``spike_h`` and ``spike_w`` from the nearest ``config.yaml``.
        threshold: Firing threshold; None takes it from ``config.yaml``.

    Raises:
        DataError: Files are missing or differ in length, or the size or the threshold is unknown.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        frames: int,
        names: Sequence[str] | None = None,
        size: tuple[int, int] | None = None,
        threshold: float | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f'{path} does not exist: name the folder of the .dat files, or one .dat file')
        known = nearest_spike_config(self.path)
        self.size = size or (known.get('spike_h'), known.get('spike_w'))
        self.threshold = known.get('threshold') if threshold is None else threshold
        if None in self.size or not self.threshold:
            raise DataError(
                f'the size and the threshold of the spikes in {path} are not known, since spike files hold neither and '
                'there is no config.yaml near them with spike_h, spike_w and threshold: give --spike-size HEIGHT WIDTH '
                'and --threshold'
            )
        self.files = self._files_in_folder(frames, names) if self.path.is_dir() else [self.path] * frames
        steps = {file: count_spike_steps(file, *self.size) for file in dict.fromkeys(self.files)}
        self.steps = next(iter(steps.values()))
        different = [f'{file.name} has {n}' for file, n in steps.items() if n != self.steps]
        if different:
            raise DataError(
                f'the spike files of {path} must have one number of steps: {self.files[0].name} has {self.steps}, '
                f'{first_few(different)}'
            )
        if not self.path.is_dir():
            self.steps, rest = divmod(self.steps, frames)
            if rest or not self.steps:
                raise DataError(
                    f'{path} holds {self.steps * frames + rest} steps, which {frames} frames cannot share equally: cut '
                    'the spikes to the exposure of the video, or check the spike size'
                )

    def _files_in_folder(self, frames: int, names: Sequence[str] | None) -> list[Path]:
        files = sorted(self.path.glob('*.dat'))
        by_name = {file.stem: file for file in files}
        missing = [name for name in names or () if name not in by_name]
        if missing:
            raise DataError(
                f'{self.path} has no spikes for {len(missing)} of {frames} frames: {first_few(missing)}; expected a '
                'file NAME.dat for each frame NAME'
            )
        if names is not None:
            return [by_name[name] for name in names]
        if len(files) != frames:
            raise DataError(
                f'{self.path} holds {len(files)} spike files, but there are {frames} frames: expected one each'
            )
        return files

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return spikes (T, steps, Hs, Ws) uint8."""
        if self.path.is_dir():
            return np.stack([read_spike_dat(file, *self.size) for file in self.files[start:stop]])
        spikes = read_spike_dat(self.path, *self.size, start=start * self.steps, steps=(stop - start) * self.steps)
        return spikes.reshape(stop - start, self.steps, *self.size)


def nearest_spike_config(path: Path) -> dict:
    """Return the nearest ``config.yaml`` with a spike size, in a folder or one above it; empty if there is none."""
    path = path.resolve()
    for folder in [path, *path.parents][:CONFIG_FOLDERS]:
        known = read_config(folder / 'config.yaml')
        if 'spike_h' in known:
            return known
    return {}
