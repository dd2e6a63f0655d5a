"""Where clips come from: one class per layout on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import yaml
from mmengine.dist import barrier, is_main_process

from vrtspike.datasets.checks import stems_in
from vrtspike.datasets.demo import write_demo
from vrtspike.datasets.sequence import Sequence
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import CLIP_SOURCES

LAYOUT = (
    'ROOT/{train,val}/<sequence>/{blur,sharp,spike}/<frame>.{png,png,dat} with ROOT/config.yaml naming '
    'spike_h, spike_w and threshold'
)


@CLIP_SOURCES.register_module()
class ProcessedClips:
    """The processed layout: ``ROOT/{train,val}/<sequence>/{blur,sharp,spike}/<frame>.{png,png,dat}``.

    ``ROOT/config.yaml`` holds ``spike_h``, ``spike_w`` and ``threshold``, and may hold ``steps_per_frame``.

    Args:
        root: The folder ROOT.
        spike_size: (Hs, Ws) of the spikes in pixels, in place of that in ``config.yaml``.
        threshold: Firing threshold of the spike camera, in place of that in ``config.yaml``.
        image_suffix: Suffix of the frames' files.

    Raises:
        DataError: ROOT is missing, or size or threshold are neither given nor in ``config.yaml``.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        spike_size: tuple[int, int] | None = None,
        threshold: float | None = None,
        image_suffix: str = '.png',
    ) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise DataError(
                f'the data set {self.root} does not exist: prepare it as {LAYOUT}, '
                'or train on the demo clips with --cfg-options data.type=DemoClips'
            )
        found = read_config(self.root / 'config.yaml')
        if spike_size is not None:
            found['spike_h'], found['spike_w'] = as_pair(spike_size)
        if threshold is not None:
            found['threshold'] = threshold
        self.spike_size = (self.number(found, 'spike_h', int), self.number(found, 'spike_w', int))
        self.threshold = self.number(found, 'threshold', float)
        self.file_steps = self.number(found, 'steps_per_frame', int) if 'steps_per_frame' in found else None
        self.image_suffix = image_suffix

    def number(self, found: dict, key: str, kind: type) -> int | float:
        """Return a positive number of ``config.yaml`` or of the arguments."""
        value = found.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, kind)) or not value > 0:
            state = f'is {value!r}' if key in found else 'is missing'
            raise DataError(
                f"'{key}' {state} in {self.root / 'config.yaml'}, expected a positive {kind.__name__}: write it "
                'there, or give spike_size=(height, width) and threshold= to ProcessedClips'
            )
        return kind(value)

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name."""
        folder = self.root / split
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: split '{split}' of a data set is laid out as {LAYOUT}")
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.'))
        return [self.sequence(folder / name) for name in names]

    def sequence(self, folder: Path) -> Sequence:
        """Return the sequence in ``folder``, with every frame that any of its three folders has."""
        suffixes = {'blur': self.image_suffix, 'sharp': self.image_suffix, 'spike': '.dat'}
        found = [stems_in(folder / kind, suffix) for kind, suffix in suffixes.items() if (folder / kind).is_dir()]
        return Sequence(
            folder.name,
            *(folder / kind for kind in suffixes),
            stems=np.array(sorted(set().union(*found)), dtype=np.str_),
            spike_size=self.spike_size,
            threshold=self.threshold,
            file_steps=self.file_steps,
            image_suffix=self.image_suffix,
        )


@CLIP_SOURCES.register_module()
class DemoClips(ProcessedClips):
    """Simulated clips in the processed layout, written first where they are absent.

    In distributed training the first process writes and the others wait.

    Args:
        root: Where the clips lie; the other arguments are those of :func:`vrtspike.datasets.demo.write_demo`.
    """

    def __init__(
        self,
        root: str | os.PathLike = 'data/demo',
        *,
        seed: int = 0,
        train_clips: int = 120,
        val_clips: int = 6,
        frames: int = 5,
        size: int = 128,
        steps_per_frame: int = 64,
        threshold: float = 1.0,
        progress: bool = True,
    ) -> None:
        recipe = {'seed': seed, 'train_clips': train_clips, 'val_clips': val_clips, 'frames': frames, 'size': size}
        recipe.update(steps_per_frame=steps_per_frame, threshold=threshold)
        try:
            if is_main_process():
                write_demo(root, **recipe, progress=progress)
        finally:  # Others must not wait for a process that failed; they then find the demo missing.
            barrier()
        super().__init__(root)


def as_pair(spike_size: tuple[int, int]) -> tuple[int, int]:
    """Return a spike size as (height, width)."""
    if not isinstance(spike_size, (tuple, list)) or len(spike_size) != 2:
        raise ConfigError(f'ProcessedClips got spike_size={spike_size!r}, expected (height, width)')
    return tuple(spike_size)


def read_config(path: Path) -> dict:
    """Return the contents of ``config.yaml``; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding='utf-8'))
    except yaml.YAMLError as error:
        raise DataError(f'{path} is not valid YAML: {error}') from error
    if not isinstance(found, dict):
        raise DataError(f'{path} holds {type(found).__name__}, expected keys such as spike_h, spike_w and threshold')
    return found
