"""Clips in the processed layout: a user's own, and the demo's."""

from __future__ import annotations

import os
from pathlib import Path

from mmengine.dist import barrier, is_main_process

from vrtspike.datasets.simulation.demo import write_demo
from vrtspike.datasets.sources.folders import (
    all_stems,
    as_pair,
    config_number,
    read_config,
    require_root,
    require_split,
    subfolders,
)
from vrtspike.datasets.sources.sequence import Sequence
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
        self.root = require_root(root, LAYOUT)
        config = self.root / 'config.yaml'
        found = read_config(config)
        if spike_size is not None:
            found['spike_h'], found['spike_w'] = as_pair(spike_size, 'ProcessedClips')
        if threshold is not None:
            found['threshold'] = threshold

        def number(key: str, kind: type) -> int | float:
            return config_number(
                found, key, kind, config, 'give spike_size=(height, width) and threshold= to ProcessedClips'
            )

        self.spike_size = (number('spike_h', int), number('spike_w', int))
        self.threshold = number('threshold', float)
        self.file_steps = number('steps_per_frame', int) if 'steps_per_frame' in found else None
        self.image_suffix = image_suffix

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name."""
        folder = require_split(self.root / split, split, LAYOUT)
        return [self.sequence(each) for each in subfolders(folder)]

    def sequence(self, folder: Path) -> Sequence:
        """Return the sequence in ``folder``, with every frame that any of its three folders has."""
        suffixes = {'blur': self.image_suffix, 'sharp': self.image_suffix, 'spike': '.dat'}
        return Sequence(
            folder.name,
            *(folder / kind for kind in suffixes),
            stems=all_stems((folder / kind, suffix) for kind, suffix in suffixes.items()),
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
        root: Where the clips lie; the other arguments are those of
            :func:`vrtspike.datasets.simulation.demo.write_demo`.
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
