"""Spikes of a clip that are read from disk only when they are used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vrtspike.datasets.io.spike_formats import count_steps, read_spikes
from vrtspike.datasets.sources.sequence import Sequence, SpikeWindow
from vrtspike.errors import DataError


class PackedSpikes:
    """The spikes (T, margin + steps + margin, Hs, Ws) of T exposures, uint8 of 0 and 1, read lazily.

    ``spikes[..., top:bottom, left:right]`` returns a cropped PackedSpikes and reads nothing; iterating decodes one
    exposure at a time; ``np.asarray(spikes)`` and other indices decode into an array.

    Args:
        windows: File and steps of each exposure.
        stored_size: (height, width) of the files.
        rows: (top, bottom) of the crop.
        columns: (left, right) of the crop.
        local: Maps the path of a file to the path to read, as :meth:`vrtspike.datasets.io.file_cache.FileCache.local`.
        margin: Steps to read before and after each exposure. Steps that a file lacks are unknown and have no spikes.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        windows: list[SpikeWindow],
        stored_size: tuple[int, int],
        rows: tuple[int, int],
        columns: tuple[int, int],
        local: Callable[[Path], Path] = Path,
        margin: int = 0,
    ) -> None:
        self.windows = [with_steps(window, stored_size) for window in windows]
        self.stored_size = stored_size
        self.rows, self.columns = rows, columns
        self.local = local
        self.margin = margin
        lengths = {window.steps for window in self.windows}
        if len(lengths) > 1:
            raise DataError(
                f'{windows[0].path} and the files after it have {sorted(lengths)} steps: all exposures of a clip must '
                'have the same length; write the files again'
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, margin + steps + margin, Hs, Ws)."""
        height, width = self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]
        return len(self.windows), self.windows[0].steps + 2 * self.margin, height, width

    def with_margin(self, margin: int) -> PackedSpikes:
        """Return the same spikes with ``margin`` steps before and after each exposure."""
        return PackedSpikes(self.windows, self.stored_size, self.rows, self.columns, self.local, margin)

    def known(self) -> np.ndarray:
        """Return which steps the files have, (T, margin + steps + margin) bool."""
        known = np.zeros(self.shape[:2], bool)
        for row, window in zip(known, self.windows, strict=True):
            row[self.stored(window)[1]] = True
        return known

    def stored(self, window: SpikeWindow) -> tuple[SpikeWindow, slice]:
        """Return the window with as much of the margin as its file has, and its place in the array."""
        if not self.margin:
            return window, slice(None)
        before = min(self.margin, window.start)
        after = min(self.margin, count_steps(window.path, *self.stored_size) - window.start - window.steps)
        steps = before + window.steps + after
        place = slice(self.margin - before, self.margin - before + steps)
        return window._replace(start=window.start - before, steps=steps), place

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.exposure(position) for position in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        spikes = np.stack(list(self))
        return spikes if dtype is None else spikes.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> PackedSpikes | np.ndarray:
        if isinstance(key, (int, np.integer)):
            return self.exposure(range(len(self))[key])
        if is_crop(key):
            rows, columns = (
                absolute_range(part, slice_) for part, slice_ in zip((self.rows, self.columns), key[1:], strict=True)
            )
            return PackedSpikes(self.windows, self.stored_size, rows, columns, self.local, self.margin)
        return np.asarray(self)[key]

    def exposure(self, position: int) -> np.ndarray:
        """Return the spikes (margin + steps + margin, Hs, Ws) of one exposure."""
        window, place = self.stored(self.windows[position])
        spikes = self.read(window)
        if len(spikes) == self.shape[1]:
            return spikes
        padded = np.zeros(self.shape[1:], np.uint8)
        padded[place] = spikes
        return padded

    def read(self, window: SpikeWindow) -> np.ndarray:
        """Return the spikes (steps, Hs, Ws) of a window of a file."""
        path, start, steps = window
        window = {'start': start, 'steps': steps, 'rows': self.rows, 'columns': self.columns}
        copy = self.local(path)
        if copy != path:
            with contextlib.suppress(DataError):  # if the copy is damaged, read the original
                return read_spikes(copy, *self.stored_size, **window)
        return read_spikes(path, *self.stored_size, **window)


def packed_spikes(sequence: Sequence, positions: range, local: Callable[[Path], Path] = Path) -> PackedSpikes:
    """Return the spikes of the frames' exposures, (T, steps, Hs, Ws) uint8, not yet read."""
    height, width = sequence.spike_size
    windows = [sequence.window(position) for position in positions]
    return PackedSpikes(windows, sequence.stored_size, (0, height), (0, width), local)


def with_steps(window: SpikeWindow, stored_size: tuple[int, int]) -> SpikeWindow:
    """Return the window with its number of steps; None means the rest of the file."""
    if window.steps is not None:
        return window
    return window._replace(steps=count_steps(window.path, *stored_size) - window.start)


def is_crop(key: Any) -> bool:
    """Return whether an index is ``[..., rows, columns]`` of plain, non-empty slices."""
    return (
        isinstance(key, tuple)
        and len(key) == 3
        and key[0] is Ellipsis
        and all(isinstance(part, slice) and part.step in (None, 1) for part in key[1:])
    )


def absolute_range(part: tuple[int, int], inner: slice) -> tuple[int, int]:
    """Return the slice ``inner`` of ``part`` (start, end) as (start, end)."""
    start, end, _ = inner.indices(part[1] - part[0])
    return part[0] + start, part[0] + max(start, end)
