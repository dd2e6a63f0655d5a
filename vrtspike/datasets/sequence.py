"""Where one video of a data set lies on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Sequence:
    """One video: its frames have the same stems in three folders.

    Args:
        name: Unique in the data set, over all its splits.
        blur: Folder of the blurred frames.
        sharp: Folder of the sharp frames.
        spike: Folder of the spike files, one `.dat` per frame.
        stems: File names without suffix, in time order; an array, which worker processes copy in one piece.
        spike_size: (Hs, Ws) of the spikes in pixels.
        threshold: Firing threshold of the spike camera, in units of full linear intensity times one step.
        start: First step of the exposure within a spike file.
        steps: Steps of the exposure; None for all that follow.
        file_steps: Steps that each file holds; None where it is not known beforehand.
        image_suffix: Suffix of the frames' files.
    """

    name: str
    blur: Path
    sharp: Path
    spike: Path
    stems: np.ndarray
    spike_size: tuple[int, int]
    threshold: float
    start: int = 0
    steps: int | None = None
    file_steps: int | None = None
    image_suffix: str = '.png'

    def image_path(self, kind: str, stem: str) -> Path:
        """Return the path of a ``'blur'`` or ``'sharp'`` frame."""
        return getattr(self, kind) / f'{stem}{self.image_suffix}'

    def spike_path(self, stem: str) -> Path:
        """Return the path of a frame's spike file."""
        return self.spike / f'{stem}.dat'
