"""Converts spikes from one file format to another without loss, a few steps at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vrtspike.datasets.io.spike_formats import open_spikes
from vrtspike.datasets.io.spike_writer import open_spike_writer
from vrtspike.datasets.sources.description import SpikeDescription
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
from vrtspike.errors import DataError


def convert_spikes(
    source: Path,
    target: Path,
    known: SpikeDescription,
    layout: SpikeLayout = USUAL_LAYOUT,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, int, int]:
    """Write the spikes of a file in the format of another one's suffix, and read them back to compare.

    Memory does not depend on the length, except for ``.mat`` sources of version 5 to 7.2, which are at most 2 GiB.

    Args:
        source: A spike file.
        target: The file to write; it must not exist.
        known: The description of ``source``; the columns that it drops are not written.
        layout: The order of bits and rows of a raw ``target``.
        progress: Called with the steps done and their total, of writing and of reading back.

    Returns:
        (steps, height, width) of ``target``.

    Raises:
        DataError: A file cannot be read or written, or ``target`` exists or would differ.
    """
    if target.exists():
        raise DataError(f'{target} exists: choose another name, or delete it')
    written = hashlib.sha256()
    with open_spikes(source, known.stored_size, known.layout) as spikes:
        shape = (spikes.steps, *known.size)
        with open_spike_writer(target, shape, layout) as append:
            done = 0
            for chunk in spikes.chunks():
                kept = chunk[..., : known.size[1]]
                append(kept)
                written.update(np.packbits(kept, axis=2))
                done += len(kept)
                progress(done, 2 * shape[0])
    found = hashlib.sha256()
    with open_spikes(target, known.size, layout) as spikes:
        for chunk in spikes.chunks():
            found.update(np.packbits(chunk, axis=2))
            done += len(chunk)
            progress(done, 2 * shape[0])
    if found.digest() != written.digest():
        target.unlink()
        raise DataError(
            f'{target} was read back with other spikes than were written, and was deleted: is the disk sound?'
        )
    return shape
