"""Everything that can be wrong with a data set, found without reading frames or spikes."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from vrtspike.datasets.sequence import Sequence
from vrtspike.datasets.spike_dat import bytes_per_step, steps_in_bytes
from vrtspike.errors import DataError


def find_problems(source: Any, split: str, sequences: list[Sequence], clip_len: int) -> list[str]:
    """Return what is wrong with the sequences of a split, one message each; empty where all is well."""
    problems = [] if sequences else [f"split '{split}' has no sequences"]
    problems += shared_names(source, split, sequences)
    for sequence in sequences:
        problems += sequence_problems(sequence, clip_len)
    return problems


def shared_names(source: Any, split: str, sequences: list[Sequence]) -> list[str]:
    """Report sequences that the other split has too: validation would see what training saw."""
    other = 'val' if split == 'train' else 'train'
    try:
        others = {sequence.name for sequence in source.sequences(other)}
    except DataError:  # A data set may have one split only; whoever uses the other one hears of its problems.
        return []
    shared = sorted(others.intersection(sequence.name for sequence in sequences))
    return [f"sequence '{name}' is in both train and val: keep it in one of them" for name in shared]


def sequence_problems(sequence: Sequence, clip_len: int) -> list[str]:
    """Return what is wrong with one sequence."""
    folders = [sequence.blur, sequence.sharp, sequence.spike]
    absent = [f'{folder} is missing: expected a folder' for folder in folders if not folder.is_dir()]
    if absent:
        return absent
    problems = missing_frames(sequence)
    if len(sequence.stems) < clip_len:
        problems.append(
            f'{sequence.name} has {len(sequence.stems)} frames, fewer than clip_len={clip_len}: '
            'remove it, or choose a smaller clip_len'
        )
    return problems + spike_file_problems(sequence) + image_size_problems(sequence)


def missing_frames(sequence: Sequence) -> list[str]:
    """Report frames that one of the folders lacks, and that the folders differ in length."""
    suffixes = {'blur': sequence.image_suffix, 'sharp': sequence.image_suffix, 'spike': '.dat'}
    stems = sequence.stems.tolist()
    present = {kind: stems_in(getattr(sequence, kind), suffix) for kind, suffix in suffixes.items()}
    problems = [
        f'{getattr(sequence, kind) / (stem + suffix)} is missing: the other folders have that frame'
        for kind, suffix in suffixes.items()
        for stem in stems
        if stem not in present[kind]
    ]
    lengths = {kind: len(found) for kind, found in present.items()}
    if len(set(lengths.values())) > 1:
        counts = ', '.join(f'{length} in {kind}' for kind, length in lengths.items())
        problems.insert(0, f'{sequence.name} has {counts}: expected equal numbers of frames')
    return problems


def spike_file_problems(sequence: Sequence) -> list[str]:
    """Report spike files whose length fits neither the sensor nor the others, from their lengths alone."""
    height, width = sequence.spike_size
    try:
        bytes_per_step(height, width)
    except DataError as error:
        return [f'{sequence.name}: {error}']
    problems, steps = [], {}
    for path, length in spike_file_lengths(sequence):
        try:
            steps[path] = steps_in_bytes(path, length, height, width)
        except DataError as error:
            problems.append(str(error))
    return problems + uneven_steps(sequence, steps)


def uneven_steps(sequence: Sequence, steps: dict[Path, int]) -> list[str]:
    """Report spike files with another number of steps than expected, or than most of the sequence."""
    if not steps:
        return []
    expected = sequence.file_steps or Counter(steps.values()).most_common(1)[0][0]
    problems = [
        f'{path} holds {found} steps of {sequence.spike_size[0]} x {sequence.spike_size[1]} spikes, '
        f'expected {expected}: correct the sensor size, or write the file again'
        for path, found in steps.items()
        if found != expected
    ]
    end = sequence.start + (sequence.steps or 1)
    if end > expected:
        problems.append(f'{sequence.name}: the exposure ends at step {end}, but its spike files hold {expected} steps')
    return problems


def image_size_problems(sequence: Sequence) -> list[str]:
    """Report first frames whose size does not correspond to the spikes'."""
    if not len(sequence.stems):
        return []
    problems = []
    for kind in ('blur', 'sharp'):
        path = sequence.image_path(kind, sequence.stems[0].item())
        if path.is_file():
            problems += size_problems(path, sequence.spike_size)
    return problems


def size_problems(path: Path, spike_size: tuple[int, int]) -> list[str]:
    """Report an image that is not a whole number of times as large as the spikes, the same in both directions."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError:
        return [f'{path} is damaged: expected an image; write it again']
    ratio = height // spike_size[0]
    if ratio >= 1 and (height, width) == (ratio * spike_size[0], ratio * spike_size[1]):
        return []
    return [
        f'{path} has {height} x {width} pixels, expected a whole multiple of the '
        f'{spike_size[0]} x {spike_size[1]} spikes, the same in both directions: '
        'correct the spike size, or crop the frames'
    ]


def stems_in(folder: Path, suffix: str) -> set[str]:
    """Return the stems of the files with ``suffix`` in ``folder``; hidden files are not part of a data set."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return {name[: -len(suffix)] for name in names if name.endswith(suffix) and not name.startswith('.')}


def spike_file_lengths(sequence: Sequence) -> list[tuple[Path, int]]:
    """Return the path and the length in bytes of each of the sequence's spike files that exists, in time order."""
    with os.scandir(sequence.spike) as entries:
        lengths = {entry.name: entry.stat().st_size for entry in entries}
    paths = [sequence.spike_path(stem) for stem in sequence.stems.tolist()]
    return [(path, lengths[path.name]) for path in paths if path.name in lengths]
