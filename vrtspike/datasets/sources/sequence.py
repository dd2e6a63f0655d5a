"""The files of one sequence of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vrtspike.datasets.instants import MIDDLE
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.errors import DataError

SPLITS = ('train', 'val')
FRAME_KINDS = ('blur', 'sharp')
#: The frames of a sample: those on disk, and the estimates of AddSDM, AddNeighbourSDM and SpikesAlone.
SAMPLE_FRAMES = (*FRAME_KINDS, 'sdm', 'sdm_neighbour', 'estimate')
#: What a sample has of spikes, cropped and reflected as one: see :mod:`vrtspike.datasets.clips`.
SPIKE_ARRAYS = ('spikes', 'flow_spikes')
LIGHTS = ('linear', 'encoded')


class SpikeWindow(NamedTuple):
    """The steps of one exposure: ``steps`` steps of ``path`` from step ``start``; None takes all after ``start``."""

    path: Path
    start: int
    steps: int | None


@dataclass(frozen=True)
class Sequence:
    """One sequence. Its frames have the same stems in every folder.

    Args:
        name: Unique within its split.
        blur: Folder of the blurred frames; None uses TFP of the spikes instead.
        sharp: Folder of the sharp frames; None without them.
        spike: Folder of the spike files, one per frame, or with ``interval`` the file of the whole recording; None
            without spikes.
        stems: File names without suffix, in time order; an array, because worker processes copy it.
        spike_size: (Hs, Ws) of the spikes in pixels; None without spikes.
        threshold: Firing threshold of the spike camera, in units of full linear intensity times one step; None
            without spikes.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames.
        start: First step of the (first) exposure within a spike file.
        steps: Steps of the exposure; None for all after ``start``.
        file_steps: Steps in each file; None if unknown.
        blur_suffix: Suffix of the blurred frames' files.
        sharp_suffix: Suffix of the sharp frames' files.
        spike_suffix: Suffix of the spike files, see :mod:`vrtspike.datasets.io.spike_formats`.
        interval: Steps between the starts of two exposures in a recording; None if every frame has its own file.
        stored_width: Columns of the spikes in the files; those beyond the width of ``spike_size`` are dropped.
        file_interval: Steps from the start of an exposure to that of the next, if frames have their own files; None if
            unknown.
        other_targets: Sharp frames of other instants than the middle: the instant, and the path of every frame.
        layout: How the spike files store bits, rows and axes.
    """

    name: str
    blur: Path | None
    sharp: Path | None
    spike: Path | None
    stems: np.ndarray
    spike_size: tuple[int, int] | None = None
    threshold: float | None = None
    light: str = 'linear'
    start: int = 0
    steps: int | None = None
    file_steps: int | None = None
    blur_suffix: str = '.png'
    sharp_suffix: str = '.png'
    spike_suffix: str = '.dat'
    interval: int | None = None
    stored_width: int | None = None
    file_interval: int | None = None
    other_targets: dict[float, np.ndarray] = field(default_factory=dict)
    layout: SpikeLayout = USUAL_LAYOUT

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) of the spikes in the files."""
        height, width = self.spike_size
        return height, self.stored_width or width

    @property
    def frame_folders(self) -> dict[str, Path]:
        """The folders of frames that the sequence has, by kind."""
        return {kind: folder for kind in FRAME_KINDS if (folder := getattr(self, kind)) is not None}

    def suffix(self, kind: str) -> str:
        """Return the suffix of ``'blur'``, ``'sharp'`` or ``'spike'`` files."""
        return getattr(self, f'{kind}_suffix')

    def image_path(self, kind: str, stem: str) -> Path:
        """Return the path of a ``'blur'`` or ``'sharp'`` frame."""
        return getattr(self, kind) / f'{stem}{self.suffix(kind)}'

    @property
    def target_instants(self) -> tuple[float, ...]:
        """The instants that have sharp frames, in order."""
        return () if self.sharp is None else tuple(sorted({MIDDLE, *self.other_targets}))

    def target_path(self, position: int, instant: float) -> Path:
        """Return the path of the sharp frame of an instant of the exposure at ``position``."""
        if instant == MIDDLE:
            return self.image_path('sharp', self.stems[position].item())
        if instant not in self.other_targets:
            raise DataError(
                f'{self.sharp} has no sharp frames of the instant {instant:g}, only of '
                f"{', '.join(f'{each:g}' for each in self.target_instants)}: ask for these, as instants='targets' does"
            )
        return Path(self.other_targets[instant][position].item())

    def spike_path(self, stem: str) -> Path:
        """Return the path of a frame's spike file."""
        return self.spike if self.interval else self.spike / f'{stem}{self.spike_suffix}'

    def window(self, position: int) -> SpikeWindow:
        """Return the exposure of the frame at ``position``."""
        start = self.start + position * (self.interval or 0)
        return SpikeWindow(self.spike_path(self.stems[position].item()), start, self.steps)
