"""Frames in LMDBs, as the scripts of KAIR and BasicSR write them."""

from __future__ import annotations

import os
from collections.abc import Sequence as Names

from vrtspike.datasets.io.stored import LMDB_SUFFIX, folders_of
from vrtspike.datasets.sources.folders import require_root, require_split, sequence_in
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.errors import ConfigError
from vrtspike.registry import CLIP_SOURCES

LAYOUT = 'ROOT/<name>.lmdb with meta_info.txt and keys <sequence>/<frame>, one each for blurred and sharp frames'


@CLIP_SOURCES.register_module()
class LMDBFrames:
    """Frames without spikes (``model.fusion=None``) in two LMDBs for each split; images are read in place.

    Reading needs the package ``lmdb``. Spikes beside such LMDBs are read by
    :class:`~vrtspike.datasets.sources.gopro_spike.GoProSpike`.

    Args:
        root: The folder of the LMDBs.
        train: Names of the LMDBs with the blurred and the sharp frames for training.
        val: Names of those for validation.

    Raises:
        DataError: ROOT or an LMDB is missing.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        train: Names[str] = ('train_GT_blurred.lmdb', 'train_GT.lmdb'),
        val: Names[str] = ('test_GT_blurred.lmdb', 'test_GT.lmdb'),
    ) -> None:
        self.root = require_root(root, LAYOUT)
        self.splits = {'train': tuple(train), 'val': tuple(val)}
        for split, names in self.splits.items():
            if len(names) != 2 or not all(name.endswith(LMDB_SUFFIX) for name in names):
                raise ConfigError(f'LMDBFrames got {split}={names!r}, expected two names ending in {LMDB_SUFFIX}')

    def sequences(self, split: str) -> list[Sequence]:
        """Return the sequences of ``'train'`` or ``'val'``, sorted by name."""
        blur, sharp = (require_split(self.root / name, split, LAYOUT) for name in self.splits[split])
        return [sequence_in(name, blur / name, sharp / name) for name in sorted(folders_of(blur) | folders_of(sharp))]
