"""Finds out whether spikes are stored as they are described, by whether neighbouring pixels agree.

Scenes are smooth: neighbouring pixels fire at similar rates. With the wrong order of bits, pixels on both sides of a
byte's edge come from places that are 15 pixels apart. With the wrong width, rows are shifted against each other.
Rows in the wrong order are found only beside a frame.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from vrtspike.datasets.color import luminance
from vrtspike.datasets.io.images import read_image
from vrtspike.datasets.io.spike_formats import is_array_file, read_spikes
from vrtspike.datasets.sources.sequence import FRAME_KINDS, Sequence
from vrtspike.datasets.spike_dat import bytes_per_step
from vrtspike.datasets.spike_layout import USUAL_LAYOUT, SpikeLayout

#: (height, width) of the sensors of spike cameras, and the columns that show the scene.
SENSORS = {(250, 400): 400, (250, 416): 400, (1000, 1000): 1000}
#: Steps whose rates are compared.
STEPS = 256
#: How many times more the neighbours must differ than with another layout.
DECISIVE = 1.3
#: By how many standard errors, so that noise in small files decides nothing.
LEAST_SIGMAS = 5
TINY = np.finfo(np.float32).tiny
#: By how much more the rates must correlate with the frame upside down than upright.
LEAST_CORRELATION = 0.3
#: Spikes and frame are compared at this many pixels along the longer side.
COMPARED_PIXELS = 32
OF_RESTORE = '(restore.py: --spike-size)'


def layout_problems(sequence: Sequence) -> list[str]:
    """Report spikes of the middle frame that are not stored as they are described."""
    if sequence.spike is None:
        return []
    middle = len(sequence.stems) // 2
    path, start, steps = sequence.window(middle)
    window = {'start': start, 'steps': steps}
    problem = bit_order_problem(path, sequence.stored_size, sequence.layout, **window)
    if problem is None and sequence.frame_folders:
        kind = next(kind for kind in FRAME_KINDS if kind in sequence.frame_folders)
        frame = luminance(read_image(sequence.image_path(kind, sequence.stems[middle].item())) / np.float32(255))
        width = sequence.spike_size[1]
        rates = rates_of(path, sequence.stored_size, sequence.layout, columns=(0, width), **window)
        problem = row_order_problem(path, frame, rates, sequence.layout)
    return [] if problem is None else [f'{sequence.name}: {problem}']


def bit_order_problem(path: Path, size: tuple[int, int], layout: SpikeLayout, **window: int | None) -> str | None:
    """Return what is wrong if raw spikes are smooth only with the other order of bits; None if nothing is."""
    if is_array_file(path):
        return None
    stated = layout.raw()['bit_order']
    other = 'big' if stated == 'little' else 'little'
    stored = {order: SpikeLayout(order, flipped=False) for order in (stated, other)}
    steps = {order: edge_steps(rates_of(path, size, each, **window)) for order, each in stored.items()}
    more, ratio = steps[stated] - steps[other], steps[stated].mean() / max(steps[other].mean(), TINY)
    if ratio <= DECISIVE or more.mean() * len(more) ** 0.5 <= LEAST_SIGMAS * more.std():
        return None
    return (
        f'{path} is read with bit_order: {stated}, but neighbouring pixels differ {ratio:.1f} '
        f'times less with bit_order: {other}. State it (config.yaml, bit_order= of the source, or --bit-order {other})'
    )


def rates_of(path: Path, size: tuple[int, int], layout: SpikeLayout, **window: int | None) -> np.ndarray:
    """Return the spike rates (H, W) of the first steps of a window."""
    count = window.pop('steps', None)
    if not is_array_file(path):
        left = os.path.getsize(path) // bytes_per_step(*size) - window.get('start', 0)
        count = min(left if count is None else count, STEPS)
    return read_spikes(path, *size, layout, steps=count, **window).mean(axis=0, dtype=np.float32)


def edge_steps(rates: np.ndarray) -> np.ndarray:
    """Return the differences of neighbouring pixels on both sides of a byte's edge, of rates in stored order."""
    flat, width = rates.ravel(), rates.shape[1]
    last = np.arange(7, flat.size - 1, 8)
    last = last[(last + 1) % width > 0]  # those at the end of a row have no neighbour
    return np.abs(flat[last + 1] - flat[last]) if len(last) else np.zeros(1, np.float32)


def row_order_problem(path: Path, frame: np.ndarray, rates: np.ndarray, layout: SpikeLayout) -> str | None:
    """Return what is wrong if the rates are those of the frame (H, W) upside down; None if nothing is."""
    scale = min(COMPARED_PIXELS / max(rates.shape), 1)
    size = tuple(max(round(length * scale), 1) for length in rates.shape[::-1])
    seen, fired = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (frame, rates))
    if min(seen.std(), fired.std()) == 0:
        return None
    upright, turned = (float(np.corrcoef(seen.ravel(), each.ravel())[0, 1]) for each in (fired, fired[::-1]))
    if turned < upright + LEAST_CORRELATION:
        return None
    usual = not is_array_file(path)
    flipped = usual if layout.flipped is None else layout.flipped
    return (
        f'{path} is read with flipped: {str(flipped).lower()}, but its spikes show the frame upside down (correlation '
        f'{upright:.2f}, turned {turned:.2f}). State flipped: {str(not flipped).lower()} (config.yaml, flipped= of the '
        f'source, or {"--no-flipped" if flipped else "--flipped"})'
    )


def fitting_sensor(path: Path) -> str:
    """Return the end of a message about an unknown size: which sensor a raw file's length and neighbours fit."""
    rough = {}
    for size in SENSORS:
        if os.path.getsize(path) % bytes_per_step(*size) == 0:
            rates = rates_of(path, size, USUAL_LAYOUT)
            rough[size] = float(np.abs(np.diff(rates, axis=0)).mean())
    if not rough:
        return f': give its height and width, as in --size 250 400 {OF_RESTORE}'
    height, width = best = min(rough, key=rough.get)
    kept = f' --keep-columns {SENSORS[best]}' if SENSORS[best] != width else ''
    return f': give it; its length and its neighbouring pixels fit --size {height} {width}{kept} {OF_RESTORE}'
