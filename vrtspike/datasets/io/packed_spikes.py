"""Spikes of a clip that are read from disk only when they are used."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vrtspike.datasets.instants import ExposureSpikes
from vrtspike.datasets.io.spike_formats import count_steps, read_spikes
from vrtspike.datasets.sources.sequence import Sequence, SpikeWindow
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout
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
        interval: Steps from the start of an exposure to that of the next; None if unknown.
        neighbours: With ``interval``, ``windows`` between those of the frames before and after them, None without one.
        layout: How the files store their spikes.

    Attributes:
        margin: Steps to read before and after each exposure, 0 at first. They come from its own file, or with
            ``interval`` from those of its neighbours. Steps that no file has are unknown and have no spikes.
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
        interval: int | None = None,
        neighbours: list[SpikeWindow | None] | tuple = (),
        layout: SpikeLayout = USUAL_LAYOUT,
    ) -> None:
        self.windows = [with_steps(window, stored_size, layout) for window in windows]
        self.interval = interval
        self.neighbours = [window and with_steps(window, stored_size, layout) for window in neighbours]
        self.stored_size = stored_size
        self.rows, self.columns = rows, columns
        self.local, self.layout = local, layout
        self.margin = 0
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

    def with_margin(self, margin: int) -> ExposureSpikes:
        """Return the same spikes with ``margin`` steps before and after each exposure."""
        spikes = self.changed(margin=margin)
        return ExposureSpikes(spikes, margin, spikes.known())

    def changed(self, **attributes: Any) -> PackedSpikes:
        """Return a copy with other attributes."""
        other = copy.copy(self)
        vars(other).update(attributes)
        return other

    def known(self) -> np.ndarray:
        """Return which steps the files have, (T, margin + steps + margin) bool."""
        known = np.zeros(self.shape[:2], bool)
        for position, row in enumerate(known):
            for _, steps in self.file_windows(position):
                row[steps] = True
        return known

    def file_windows(self, position: int) -> list[tuple[SpikeWindow, slice]]:
        """Return the parts of files that contain an exposure and its margin, each with its steps in the array."""
        window, margin = self.windows[position], self.margin
        if not margin:
            return [(window, slice(0, window.steps))]
        before = min(margin, window.start)
        after = min(margin, count_steps(window.path, *self.stored_size) - window.start - window.steps)
        own = slice(margin - before, margin + window.steps + after)
        windows = [(window._replace(start=window.start - before, steps=own.stop - own.start), own)]
        if self.interval is not None:
            for neighbour, offset, gap in (
                (self.neighbours[position], margin - self.interval, (0, own.start)),
                (self.neighbours[position + 2], margin + self.interval, (own.stop, self.shape[1])),
            ):
                windows += part_in_gap(neighbour, offset, gap)
        return windows

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
            return self.changed(rows=rows, columns=columns)
        return np.asarray(self)[key]

    def exposure(self, position: int) -> np.ndarray:
        """Return the spikes (margin + steps + margin, Hs, Ws) of one exposure."""
        if not self.margin:
            return self.read(self.windows[position])
        spikes = np.zeros(self.shape[1:], np.uint8)
        for window, steps in self.file_windows(position):
            spikes[steps] = self.read(window)
        return spikes

    def read(self, window: SpikeWindow) -> np.ndarray:
        """Return the spikes (steps, Hs, Ws) of a window of a file."""
        path, start, steps = window
        window = {'layout': self.layout, 'start': start, 'steps': steps, 'rows': self.rows, 'columns': self.columns}
        cached = self.local(path)
        if cached != path:
            with contextlib.suppress(DataError):  # if the copy is damaged, read the original
                return read_spikes(cached, *self.stored_size, **window)
        return read_spikes(path, *self.stored_size, **window)


def packed_spikes(sequence: Sequence, positions: range, local: Callable[[Path], Path] = Path) -> PackedSpikes:
    """Return the spikes of the frames' exposures, (T, steps, Hs, Ws) uint8, not yet read."""
    height, width = sequence.spike_size
    windows = [sequence.window(position) for position in positions]
    around = range(positions.start - 1, positions.stop + 1)
    neighbours = [sequence.window(p) if 0 <= p < len(sequence.stems) else None for p in around]
    interval = sequence.file_interval
    beside = {} if interval is None else {'interval': interval, 'neighbours': neighbours}
    return PackedSpikes(windows, sequence.stored_size, (0, height), (0, width), local, **beside, layout=sequence.layout)


def with_steps(window: SpikeWindow, stored_size: tuple[int, int], layout: SpikeLayout) -> SpikeWindow:
    """Return the window with its number of steps; None means the rest of the file."""
    if window.steps is not None:
        return window
    return window._replace(steps=count_steps(window.path, *stored_size, layout) - window.start)


def part_in_gap(window: SpikeWindow | None, offset: int, gap: tuple[int, int]) -> list[tuple[SpikeWindow, slice]]:
    """Return what a window, which begins at ``offset`` of an array, has for a gap (start, stop) in it: one or none."""
    if window is None:
        return []
    first, stop = max(offset, gap[0]), min(offset + window.steps, gap[1])
    if first >= stop:
        return []
    return [(window._replace(start=window.start + first - offset, steps=stop - first), slice(first, stop))]


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
