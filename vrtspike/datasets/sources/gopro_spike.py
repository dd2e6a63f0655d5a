"""GoPro-Spike: GoPro's blurred and sharp frames with simulated spikes, in two layouts."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from vrtspike.datasets.instants import MIDDLE
from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.io.listing import files_in_time_order
from vrtspike.datasets.io.stored import LMDB_SUFFIX
from vrtspike.datasets.sources import folders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import ConfigError, DataError, did_you_mean, require_positive, require_positive_integers
from vrtspike.registry import CLIP_SOURCES

FRAMES, SPIKES = 'GOPRO_Large', 'GOPRO_Large_spike_seq'
#: All frames of GoPro's camera, of which a blurred frame averages N.
ALL_FRAMES = 'GOPRO_Large_all'
#: Steps of the spike camera between two instants of GoPro's camera.
STEPS_PER_INSTANT = 8
LAYOUTS = {
    'gopro': 'ROOT/GOPRO_Large/{train,test}/<clip>/{blur_gamma,sharp}/<frame>.png',
    'svrt': 'ROOT/GOPRO_Large/{train,test}_{GT_blurred,GT}/<clip>/<frame>.png or {train,test}_{GT_blurred,GT}.lmdb',
}
SPIKE_LAYOUT = 'ROOT/GOPRO_Large_spike_seq/{train,test}/<clip>/spike/<frame>.dat'


@CLIP_SOURCES.register_module()
class GoProSpike:
    """GoPro-Spike: 22 training and 11 test clips of 1280 x 720 pixels, with spikes of 640 x 360.

    The middle number N of a clip's name, as in GOPR0372_07_00, is the number of camera frames that are averaged into
    one blurred frame. A spike file has 8 N steps, with the exposure in their middle. ``'val'`` is the data set's test
    split.

    If ``ROOT/GOPRO_Large_all/{train,test}/<clip>/*.png`` exists, it gives sharp frames of further instants of the
    exposure. It holds all frames of GoPro's camera in time order: the first blurred frame averages the first N,
    the next one the next N. Whether this holds is checked in every clip: the middle frames of the first and of the last
    N must be the sharp frames.

    Args:
        root: The folder with ``GOPRO_Large`` and ``GOPRO_Large_spike_seq``.
        layout: ``'gopro'`` for GoPro's own folders, ``'svrt'`` for ``train_GT`` and ``train_GT_blurred``, which may be
            LMDBs; None detects it.
        blur: Folder of a clip's blurred frames in the ``'gopro'`` layout; the spikes fit ``blur_gamma``.
        spike_size: (Hs, Ws) of the spikes in pixels.
        threshold: Firing threshold of the simulated spike camera.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames.
        bit_order: See :class:`~vrtspike.datasets.spike_layout.SpikeLayout`, also for ``flipped`` and ``axes``.
        exposure_steps: Steps of the exposure in the middle of each file.
        spikes: False reads the frames alone, for networks without fusion; ``GOPRO_Large_spike_seq`` may be absent.

    Raises:
        DataError: Folders are missing, both layouts exist, or the name of a clip has no N.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        layout: str | None = None,
        blur: str = 'blur_gamma',
        spike_size: tuple[int, int] = (360, 640),
        threshold: float = 1.0,
        exposure_steps: int = 56,
        spikes: bool = True,
        light: str = 'linear',
        bit_order: str | None = None,
        flipped: bool | None = None,
        axes: str | None = None,
    ) -> None:
        if layout not in (None, *LAYOUTS):
            raise ConfigError(f'GoProSpike got layout={layout!r}{did_you_mean(str(layout), LAYOUTS)}')
        self.root = folders.require_root(root, f'{" or ".join(LAYOUTS.values())}, with {SPIKE_LAYOUT}')
        self.layout = layout or detect_layout(self.root / FRAMES)
        self.blur = blur
        folders.require_pair('GoProSpike', spike_size=spike_size)
        require_positive('GoProSpike', threshold=threshold)
        folders.require_light('GoProSpike', light)
        require_positive_integers('GoProSpike', exposure_steps=exposure_steps)
        self.spike_size, self.threshold, self.exposure_steps = tuple(spike_size), threshold, exposure_steps
        self.spikes, self.light, self.stored = spikes, light, SpikeLayout(bit_order, flipped, axes)

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name: every clip with frames or spikes."""
        name, spikes = folders.ON_DISK[split], self.root / SPIKES / folders.ON_DISK[split]
        frames = self.root / FRAMES / (name if self.layout == 'gopro' else f'{name}_GT_blurred')
        if self.layout == 'svrt' and not frames.is_dir():
            frames = frames.with_suffix(LMDB_SUFFIX)
        folders.require_split(frames, split, LAYOUTS[self.layout])
        if not self.spikes:
            return [folders.sequence_in(clip.name, *self.frame_folders(clip)) for clip in folders.subfolders(frames)]
        folders.require_split(spikes, split, SPIKE_LAYOUT)
        clips = sorted({folder.name for parent in (frames, spikes) for folder in folders.subfolders(parent)})
        if odd := [clip for clip in clips if steps_of(clip) is None]:
            raise DataError(
                f'{frames} and {spikes} contain {", ".join(odd)}: expected clips named like GOPR0372_07_00 (the middle '
                'number gives the steps of a spike file); move other folders elsewhere'
            )
        return [
            self.with_neighbours(
                folders.sequence_in(
                    clip,
                    *self.frame_folders(frames / clip),
                    spikes / clip / 'spike',
                    spike_size=self.spike_size,
                    threshold=self.threshold,
                    light=self.light,
                    layout=self.stored,
                    start=(steps_of(clip) - self.exposure_steps) // 2,
                    steps=self.exposure_steps,
                    file_steps=steps_of(clip),
                ),
                self.root / ALL_FRAMES / name / clip,
            )
            for clip in clips
        ]

    def with_neighbours(self, sequence: Sequence, folder: Path) -> Sequence:
        """Return a sequence with the sharp frames of other instants in the ``folder`` of all its frames, if it exists.

        Raises:
            DataError: The frames in the folder are not those that the blurred frames average.
        """
        if not folder.is_dir() or not sequence.sharp.is_dir():
            return sequence
        files = files_in_time_order(folder)
        averaged, frames = steps_of(sequence.name) // STEPS_PER_INSTANT, len(sequence.stems)
        middles = files[averaged // 2 :: averaged]
        sharp = [sequence.image_path('sharp', stem) for stem in sequence.stems.tolist()]
        fits = len(files) >= averaged * frames and all(same_image(middles[i], sharp[i]) for i in (0, frames - 1))
        if not fits:
            raise DataError(
                f'{folder} has {len(files)} frames, which do not belong to the {frames} frames of {sequence.sharp}: '
                f'expected {averaged} for each of them in time order, with the sharp frame in their middle; correct '
                f'the folder, or move {ALL_FRAMES} elsewhere'
            )
        instants = {
            number: (STEPS_PER_INSTANT * (number + 0.5) - sequence.start) / self.exposure_steps
            for number in range(averaged)
        }
        paths = np.array([str(file) for file in files])
        targets = {
            instant: paths[number : averaged * frames : averaged]
            for number, instant in instants.items()
            if 0 <= instant <= 1 and instant != MIDDLE
        }
        return replace(sequence, other_targets=targets)

    def frame_folders(self, clip: Path) -> tuple[Path, Path]:
        """Return the folders of a clip's blurred and sharp frames."""
        if self.layout == 'gopro':
            return clip / self.blur, clip / 'sharp'
        return clip, clip.parent.with_name(clip.parent.name.replace('_blurred', '')) / clip.name


def steps_of(clip: str) -> int | None:
    """Return the steps in a spike file of ``clip`` according to its name; None for other names."""
    match = re.fullmatch(r'[^_]+_(\d+)_\d+', clip)
    return STEPS_PER_INSTANT * int(match[1]) if match and int(match[1]) else None


def same_image(path: Path, other: Path) -> bool:
    """Return whether two files show the same image."""
    return other.is_file() and np.array_equal(read_image(path), read_image(other))


def detect_layout(frames: Path) -> str:
    """Return the layout of the folder of frames."""
    found = {
        'gopro': any((frames / split).is_dir() for split in folders.ON_DISK.values()),
        'svrt': any(
            (frames / f'{split}_GT{end}').is_dir() for split in folders.ON_DISK.values() for end in ('', LMDB_SUFFIX)
        ),
    }
    layouts = [layout for layout, is_there in found.items() if is_there]
    if len(layouts) == 1:
        return layouts[0]
    state = 'has both layouts; choose one with layout=:' if layouts else 'has no frames: expected them as'
    raise DataError(f'{frames} {state} {", or ".join(f"{key!r}, {value}" for key, value in LAYOUTS.items())}')
