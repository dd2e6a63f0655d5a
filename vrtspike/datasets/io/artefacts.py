"""The artefacts of `S-VRT <https://github.com/S-VRT/S-VRT>`_: representations of spike files, computed beforehand.

Beside ``<clip>/spike/<frame>.dat`` there are folders whose names say how their ``<frame>.npy`` were made::

    tfp_b4_hw20          (4, H, W)      TFP at 4 instants over 20 steps to each side, 0 to 255 in whole numbers
    raw_window_l21       (21, H, W)     the 21 steps around the middle
    encoding25_dt10_s4   (4, 25, H, W)  25 steps around 4 instants, the input of SCFlow; without s4 around one

They are made from the whole file, also where the exposure is a part of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vrtspike.datasets.spike_dat import part_of
from vrtspike.errors import ConfigError, DataError

#: Steps of a window of ``encoding25``.
FLOW_STEPS = 25
PATTERNS = {
    'tfp': re.compile(r'tfp_b(\d+)_hw(\d+)'),
    'raw_window': re.compile(r'raw_window_l(\d+)'),
    'encoding25': re.compile(r'encoding25_dt\d+(?:_s(\d+))?'),
}

Maker = Callable[[np.ndarray], np.ndarray]
"""Computes an artefact as (K, H, W) float32 in [0, 1] from all spikes (steps, H, W) of a file."""


def artefact_maker(folder: str) -> Maker:
    """Return what computes the artefacts in a folder of this name; raise ConfigError for other names."""
    for kind, pattern in PATTERNS.items():
        if match := pattern.fullmatch(folder):
            numbers = [int(number or 1) for number in match.groups()]
            return lambda spikes: MAKERS[kind](spikes, *numbers)
    raise ConfigError(
        f"'{folder}' is no folder of artefacts: expected a name like tfp_b4_hw20, raw_window_l21 or encoding25_dt10_s4"
    )


def tfp_artefact(spikes: np.ndarray, bins: int, half: int) -> np.ndarray:
    """Return TFP in the middles of ``bins`` parts of the file; windows are moved into the file."""
    steps = require_length(spikes, 2 * half + 1)
    edges = [part * steps // bins for part in range(bins + 1)]
    middles = [min(max((start + end) // 2, half), steps - half) for start, end in itertools.pairwise(edges)]
    rates = [spikes[middle - half : middle + half + 1].mean(axis=0) for middle in middles]
    return np.floor(np.stack(rates) * 255).astype(np.float32) / np.float32(255)


def raw_window_artefact(spikes: np.ndarray, length: int) -> np.ndarray:
    """Return the ``length`` steps around the middle."""
    start = require_length(spikes, length) // 2 - length // 2
    return spikes[start : start + length].astype(np.float32)


def encoding25_artefact(spikes: np.ndarray, windows: int) -> np.ndarray:
    """Return 25 steps around ``windows`` instants, (windows * 25, H, W)."""
    steps, half = require_length(spikes, FLOW_STEPS), FLOW_STEPS // 2
    middles = np.rint(np.linspace(half, steps - half - 1, windows)).astype(int) if windows > 1 else [(steps - 1) // 2]
    return np.concatenate([spikes[middle - half : middle + half + 1] for middle in middles]).astype(np.float32)


MAKERS = {'tfp': tfp_artefact, 'raw_window': raw_window_artefact, 'encoding25': encoding25_artefact}


def require_length(spikes: np.ndarray, least: int) -> int:
    """Return the number of steps; raise DataError if there are fewer than ``least``."""
    if len(spikes) < least:
        raise DataError(f'the spike file has {len(spikes)} steps, but its artefact is made from windows of {least}')
    return len(spikes)


def read_artefact(path: Path, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Return a crop of an artefact as (K, rows, columns) float32 in [0, 1]; only its bytes are read.

    Args:
        path: The ``.npy`` file.
        size: (H, W) of the spikes.
        rows: (top, bottom), bottom excluded.
        columns: (left, right), right excluded.

    Raises:
        DataError: The file is missing or damaged, or has another size or type.
    """
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f'{path} cannot be read ({error}): write the artefacts again') from error
    if not isinstance(array, np.ndarray) or array.ndim not in (3, 4) or array.shape[-2:] != size:
        raise DataError(f'{path} has the shape {getattr(array, "shape", None)}, expected (..., {size[0]}, {size[1]})')
    if array.dtype not in (np.uint8, np.bool_, np.float32):
        raise DataError(f'{path} has {array.dtype} values, expected uint8, bool or float32: write the artefacts again')
    (top, bottom), (left, right) = part_of(rows, size[0], 'rows', path), part_of(columns, size[1], 'columns', path)
    values = np.array(array[..., top:bottom, left:right], np.float32)
    if array.dtype == np.uint8 and path.parent.name.startswith('tfp'):
        values /= 255
    return values.reshape(-1, bottom - top, right - left)
