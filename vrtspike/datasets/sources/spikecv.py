"""Recordings in the layout of SpikeCV: one spike file of any length and a `config.yaml`."""

from __future__ import annotations

import os
from collections.abc import Sequence as Names
from dataclasses import replace
from pathlib import Path

import numpy as np

from vrtspike.datasets.io.listing import is_hidden
from vrtspike.datasets.io.spike_formats import SPIKE_SUFFIXES, count_steps
from vrtspike.datasets.sources import folders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_layout import SpikeLayout
from vrtspike.errors import ConfigError, DataError, require_positive, require_positive_integers
from vrtspike.registry import CLIP_SOURCES

LAYOUT = 'ROOT/config.yaml naming filename, spike_w and spike_h, with ROOT/<name>.dat or ROOT/<name>/*.dat'


@CLIP_SOURCES.register_module()
class SpikeCVRecording:
    """Recordings in which the exposure of frame i is ``steps_per_frame`` steps from ``first_step + i * interval``.

    A recording called NAME is ``ROOT/NAME.dat``, or the one spike file in ``ROOT/NAME/``; arrays such as ``.npz`` are
    read too. The frames of its RGB camera are in ``ROOT/NAME/blur`` and ``ROOT/NAME/sharp``.

    Args:
        root: The folder ROOT.
        steps_per_frame: Steps of one exposure.
        train: Names of the recordings to train on.
        val: Names of the recordings to validate on; None takes the ``filename`` in ``config.yaml`` unless there are
            names in ``train``.
        threshold: Firing threshold of the camera, in units of full intensity times one step; None takes it from
            ``config.yaml``, or 1 if it does not say.
        light: What the spike camera integrated: ``'linear'`` light, or the ``'encoded'`` values of the frames; None
            takes it from ``config.yaml``, which says so if it is not linear.
        bit_order: See :class:`~vrtspike.datasets.spike_layout.SpikeLayout`, also for ``flipped`` and ``axes``;
            None takes them from ``config.yaml``.
        first_step: First step of the first exposure.
        interval: Steps between the starts of two exposures; None for exposures without a gap.
        blur: Folder of the blurred frames; None uses TFP of the exposures instead, as gray images.
        sharp: Folder of the sharp frames; None without them, for viewing or restoring.
        keep_columns: Columns to keep: 400 of 416 if the sensor writes a header into the last 16.

    Raises:
        DataError: ROOT or a recording is missing, or ``config.yaml`` has no size.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        steps_per_frame: int,
        train: Names[str] = (),
        val: Names[str] | None = None,
        threshold: float | None = None,
        first_step: int = 0,
        interval: int | None = None,
        blur: str | None = 'blur',
        sharp: str | None = 'sharp',
        keep_columns: int | None = None,
        light: str | None = None,
        bit_order: str | None = None,
        flipped: bool | None = None,
        axes: str | None = None,
    ) -> None:
        self.root = folders.require_root(root, LAYOUT)
        config = self.root / 'config.yaml'
        found = folders.read_config(config)
        height, width = (
            folders.config_number(found, key, int, config, 'copy the file that came with the recording')
            for key in ('spike_h', 'spike_w')
        )
        self.stored_width = width
        self.spike_size = (height, width if keep_columns is None else keep_columns)
        if not 1 <= self.spike_size[1] <= width:
            raise ConfigError(f'SpikeCVRecording got {keep_columns=}, expected 1 to the spike_w={width} of {config}')
        if val is None:
            val = () if train else [str(found.get('filename', ''))]
        self.names = {'train': list(train), 'val': list(val)}
        interval = steps_per_frame if interval is None else interval
        require_positive_integers('SpikeCVRecording', steps_per_frame=steps_per_frame, interval=interval)
        if threshold is None and 'threshold' in found:
            threshold = folders.config_number(found, 'threshold', float, config, 'give threshold= to SpikeCVRecording')
        threshold = 1.0 if threshold is None else threshold
        require_positive('SpikeCVRecording', threshold=threshold)
        self.light = folders.config_light(found, config) if light is None else light
        folders.require_light('SpikeCVRecording', self.light)
        self.steps, self.interval, self.threshold = steps_per_frame, interval, threshold
        if first_step < 0:
            raise ConfigError(f'SpikeCVRecording got {first_step=}, expected 0 or more')
        self.first_step = first_step
        self.layout = folders.config_layout(found, config, SpikeLayout(bit_order, flipped, axes))
        self.blur, self.sharp = blur, sharp

    def sequences(self, split: str) -> list[Sequence]:
        """Return the recordings of ``'train'`` or ``'val'``, in the order they were named."""
        return [self.sequence(name) for name in self.names[split]]

    def sequence(self, name: str) -> Sequence:
        """Return one recording with its frames. Without frames, it gets as many exposures as it has room for."""
        recording = find_recording(self.root, name)
        blur, sharp = (None if kind is None else self.root / name / kind for kind in (self.blur, self.sharp))
        sequence = folders.sequence_in(
            name,
            blur,
            sharp,
            recording,
            spike_size=self.spike_size,
            threshold=self.threshold,
            light=self.light,
            layout=self.layout,
            start=self.first_step,
            steps=self.steps,
            interval=self.interval,
            stored_width=self.stored_width,
        )
        if sequence.frame_folders:
            return sequence
        steps = count_steps(recording, self.spike_size[0], self.stored_width, self.layout)
        count = max((steps - self.first_step - self.steps) // self.interval + 1, 0)
        return replace(sequence, stems=np.array([f'{i:06d}' for i in range(count)], dtype=np.str_))


def find_recording(root: Path, name: str) -> Path:
    """Return the spike file of a recording."""
    stem, suffix = os.path.splitext(name)
    name = stem if suffix in SPIKE_SUFFIXES else name
    beside = [root / f'{name}{suffix}' for suffix in SPIKE_SUFFIXES] if name else []
    inside = [path for path in sorted((root / name).glob('*')) if path.suffix in SPIKE_SUFFIXES] if name else []
    files = [path for path in (*beside, *inside) if path.is_file() and not is_hidden(path.name)]
    if len(files) == 1:
        return files[0]
    found = ', '.join(path.name for path in files) or 'none'
    raise DataError(
        f"{root} has no single recording '{name}' (found: {found}): expected {LAYOUT}; name recordings with train= and "
        'val='
    )
