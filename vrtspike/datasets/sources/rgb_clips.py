"""Blurred and sharp videos without spikes."""

from __future__ import annotations

import os

from vrtspike.datasets.sources.folders import all_stems, require_root, require_split, subfolders
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.registry import CLIP_SOURCES

LAYOUT = 'ROOT/{train,val}/<sequence>/{blur,sharp}/<frame>.png'


@CLIP_SOURCES.register_module()
class RGBClips:
    """RGB alone, for networks without fusion (``model.fusion=None``).

    GoPro itself is ``dict(type='RGBClips', root='GOPRO_Large', val='test')``, its gamma-corrected frames with
    ``blur='blur_gamma'``.

    Args:
        root: The folder ROOT.
        train: Folder of the training sequences.
        val: Folder of the validation sequences.
        blur: Folder of a sequence's blurred frames.
        sharp: Folder of a sequence's sharp frames.
        image_suffix: Suffix of the frames' files.

    Raises:
        DataError: ROOT or a split is missing.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        train: str = 'train',
        val: str = 'val',
        blur: str = 'blur',
        sharp: str = 'sharp',
        image_suffix: str = '.png',
    ) -> None:
        self.root = require_root(root, LAYOUT)
        self.splits = {'train': train, 'val': val}
        self.blur, self.sharp, self.image_suffix = blur, sharp, image_suffix

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name."""
        folder = require_split(self.root / self.splits[split], split, LAYOUT)
        return [
            Sequence(
                each.name,
                each / self.blur,
                each / self.sharp,
                None,
                stems=all_stems((each / kind, self.image_suffix) for kind in (self.blur, self.sharp)),
                image_suffix=self.image_suffix,
            )
            for each in subfolders(folder)
        ]
