"""Reads representations that were computed beforehand, in place of decoding spikes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vrtspike.datasets.io.artefacts import artefact_maker, read_artefact
from vrtspike.datasets.io.packed_spikes import PackedSpikes
from vrtspike.datasets.io.spike_formats import read_spikes
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import TRANSFORMS

#: A TFP at the boundary of two whole numbers may be rounded to either.
TOLERANCE = 1.5 / 255


@TRANSFORMS.register_module()
class ReadArtefact:
    """Replace spikes by S-VRT's artefacts (:mod:`vrtspike.datasets.io.artefacts`) times the threshold.

    It takes the place of :class:`~vrtspike.datasets.transforms.spikes.BinSpikes`, directly after the crop: the flips
    after it turn artefacts as well. In each frame, one row of the crop is computed from the spike file and compared; an
    artefact that does not fit its spike file is a bad sample, and is never used.

    Args:
        folder: Name of the folder beside the folder of the spikes, such as ``'tfp_b4_hw20'``.
    """

    def __init__(self, folder: str) -> None:
        self.folder, self.make = folder, artefact_maker(folder)

    def __call__(self, results: dict) -> dict:
        """Turn ``spikes``, where there are any, from PackedSpikes into (T, K, Hs, Ws) float32.

        Raises:
            ConfigError: The spikes were decoded before.
            DataError: An artefact is missing or does not fit its spike file.
        """
        if 'spikes' not in results:
            return results
        if not isinstance(results['spikes'], PackedSpikes):
            raise ConfigError('ReadArtefact got decoded spikes: put it directly after the crop, before flips')
        artefacts = np.stack(list(self.artefacts(results['spikes'])))
        artefacts *= np.float32(results['meta']['threshold'])
        return {**results, 'spikes': artefacts}

    def artefacts(self, spikes: PackedSpikes) -> Iterator[np.ndarray]:
        """Yield the artefact (K, Hs, Ws) of each frame."""
        height = spikes.stored_size[0]
        row = min(spikes.rows[0] + (spikes.rows[1] - spikes.rows[0]) // 2, height - 1)
        for window in spikes.windows:
            path = window.path.parent.with_name(self.folder) / f'{window.path.stem}.npy'
            found = read_artefact(spikes.local(path), spikes.stored_size, spikes.rows, spikes.columns)
            line = read_spikes(
                window.path, *spikes.stored_size, spikes.layout, rows=(row, row + 1), columns=spikes.columns
            )
            expected = self.make(line)[:, 0]
            line = found[:, row - spikes.rows[0]]
            if expected.shape != line.shape or not np.allclose(expected, line, rtol=0, atol=TOLERANCE):
                raise DataError(
                    f'{path} was not made from {window.path}: row {row} differs; write the artefacts again, or use '
                    'BinSpikes in place of ReadArtefact'
                )
            yield found
