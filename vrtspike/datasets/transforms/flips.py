"""Reflections of a clip in space and time."""

from __future__ import annotations

import numpy as np

from vrtspike.datasets.sources.sequence import SAMPLE_FRAMES, SPIKE_ARRAYS
from vrtspike.datasets.transforms.crops import describe
from vrtspike.errors import ConfigError, DataError
from vrtspike.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairedRandomFlip:
    """Reflect frames and spikes together, each reflection with its own probability.

    Reversing time reverses the order of the frames, and that of the steps (or bins) inside every exposure. An instant t
    of an exposure becomes 1 - t.

    Args:
        horizontal: Probability of swapping left and right.
        vertical: Probability of swapping top and bottom.
        transpose: Probability of swapping rows and columns; above 0, frames must be square.
        time: Probability of reversing time.
    """

    def __init__(
        self, horizontal: float = 0.5, vertical: float = 0.5, transpose: float = 0.5, time: float = 0.5
    ) -> None:
        self.probabilities = {'horizontal': horizontal, 'vertical': vertical, 'transpose': transpose, 'time': time}
        for name, probability in self.probabilities.items():
            if not 0 <= probability <= 1:
                raise ConfigError(f'PairedRandomFlip got {name}={probability}, expected a probability from 0 to 1')

    def __call__(self, results: dict) -> dict:
        """Reflect ``blur``, ``sharp`` and raw or binned ``spikes``; draws from ``results['rng']``."""
        draws = results['rng'].random(len(self.probabilities))
        chosen = {name for (name, limit), draw in zip(self.probabilities.items(), draws, strict=True) if draw < limit}
        if self.probabilities['transpose'] and results['blur'].shape[1] != results['blur'].shape[2]:
            height, width = results['blur'].shape[1:3]
            raise DataError(
                f'PairedRandomFlip transposes square frames only, but {describe(results)} has {height} x {width}: '
                'crop to a square first, or set transpose=0'
            )
        flipped = {kind: flip(results[kind], chosen, 1) for kind in SAMPLE_FRAMES if kind in results}
        flipped |= {kind: flip(np.asarray(results[kind]), chosen, 2) for kind in SPIKE_ARRAYS if kind in results}
        if 'time' in chosen and 'instant' in results:
            flipped['instant'] = 1 - results['instant'][::-1]
        if 'time' in chosen and 'known' in results:
            flipped['known'] = np.flip(results['known'])
        return {**results, **flipped}


def flip(array: np.ndarray, chosen: set[str], rows: int) -> np.ndarray:
    """Return a reflected array.

    Args:
        array: Axes of time, then rows, columns and others.
        chosen: Names of the reflections.
        rows: Index of the axis of rows.
    """
    axes = {'time': tuple(range(rows)), 'vertical': (rows,), 'horizontal': (rows + 1,)}
    reversed_axes = [axis for name in axes if name in chosen for axis in axes[name]]
    array = np.flip(array, reversed_axes)
    return array.swapaxes(rows, rows + 1) if 'transpose' in chosen else array
