"""Checks of a data set that read only file names, file lengths, image headers and the light of one frame."""

from __future__ import annotations

import filecmp
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vrtspike.datasets.io.images import image_size
from vrtspike.datasets.io.listing import stems_in
from vrtspike.datasets.io.spike_formats import count_steps, is_array_file
from vrtspike.datasets.io.stored import is_file, is_folder, place_in_lmdb, read_file
from vrtspike.datasets.sources.sequence import Sequence
from vrtspike.datasets.spike_dat import bytes_per_step, steps_in_bytes
from vrtspike.datasets.spike_layout_check import layout_problems
from vrtspike.datasets.threshold import threshold_problems
from vrtspike.errors import DataError

# RGB size / spike size is a / b along each side. A larger a means that the sensor size is wrong.
MAX_RATIO_NUMERATOR = 64


def find_problems(source: Any, split: str, sequences: list[Sequence], clip_len: int) -> list[str]:
    """Return one message per problem in the sequences of a split."""
    problems = [] if sequences else [f"split '{split}' has no sequences"]
    problems += shared_sequences(source, split, sequences)
    for sequence in sequences:
        problems += sequence_problems(sequence, clip_len)
    # These checks read a frame and its spikes, so everything else must be correct first.
    return problems or content_problems(sequences[0])


def content_problems(sequence: Sequence) -> list[str]:
    """Report a sequence whose middle frame and its spikes contradict the description of the spikes."""
    try:
        return layout_problems(sequence) or threshold_problems(sequence)
    except DataError as error:
        return [str(error)]


def shared_sequences(source: Any, split: str, sequences: list[Sequence]) -> list[str]:
    """Report sequences that are in both splits: validation would score training data.

    Splits may number their sequences independently, as REDS does, so equal names are not enough: files are compared.
    """
    other = 'val' if split == 'train' else 'train'
    try:
        others = {sequence.name: sequence for sequence in source.sequences(other)}
    except DataError:  # A data set may have one split only.
        return []
    return [
        f"sequence '{sequence.name}' is in both train and val: keep it in one of them"
        for sequence in sequences
        if sequence.name in others
        and have_same_files(sequence, others[sequence.name])
        and (is_linked(sequence, others[sequence.name]) or is_identified(sequence, sequences))
    ]


def is_linked(sequence: Sequence, other: Sequence) -> bool:
    """Return whether two sequences have their frames or recordings in the same folder, for example by a link."""
    folders = (probe_path(each, each.stems[0].item()).parent for each in (sequence, other))
    return len({os.path.realpath(folder) for folder in folders}) == 1


def is_identified(sequence: Sequence, sequences: list[Sequence]) -> bool:
    """Return whether its name or its frames identify a sequence; numbered sequences with equal frames are ambiguous."""
    alike = (each is not sequence and have_same_files(each, sequence) for each in sequences)
    return not (sequence.name.isdigit() and any(alike))


def have_same_files(sequence: Sequence, other: Sequence) -> bool:
    """Return whether the files of the first, middle and last stem that two sequences share are equal."""
    stems = np.intersect1d(sequence.stems, other.stems)
    probes = [stems[i].item() for i in sorted({0, len(stems) // 2, len(stems) - 1})] if len(stems) else []
    return bool(probes) and all(is_same_file(probe_path(sequence, stem), probe_path(other, stem)) for stem in probes)


def probe_path(sequence: Sequence, stem: str) -> Path:
    """Return the file to compare: the blurred frame, or else the sharp frame, or else the spikes."""
    kind = next(iter(sequence.frame_folders), None)
    return sequence.spike_path(stem) if kind is None else sequence.image_path(kind, stem)


def is_same_file(path: Path, other: Path) -> bool:
    """Return whether two paths are the same file or files of equal content; False if one is missing."""
    if not (is_file(path) and is_file(other)):
        return False
    if place_in_lmdb(path) or place_in_lmdb(other):
        return read_file(path) == read_file(other)
    return path.samefile(other) or filecmp.cmp(path, other, shallow=False)


def sequence_problems(sequence: Sequence, clip_len: int) -> list[str]:
    """Return one message per problem in a sequence."""
    folders = folders_by_kind(sequence)
    absent = [f'{folder} is missing: expected a folder' for folder in folders.values() if not is_folder(folder)]
    if absent:
        return absent
    if folders and not len(sequence.stems):
        files = ', '.join(f'{folder}/*{sequence.suffix(kind)}' for kind, folder in folders.items())
        return [f'{sequence.name} has no frames: expected {files}']
    problems = missing_frames(sequence)
    if len(sequence.stems) < clip_len:
        problems.append(
            f'{sequence.name} has {len(sequence.stems)} frames, fewer than clip_len={clip_len}: '
            'remove it, or choose a smaller clip_len'
        )
    if sequence.spike is not None:
        problems += recording_problems(sequence) if sequence.interval else spike_file_problems(sequence)
    return problems + image_size_problems(sequence)


def folders_by_kind(sequence: Sequence) -> dict[str, Path]:
    """Return the folders with one file per frame by ``'blur'``, ``'sharp'`` and ``'spike'``."""
    spike = {} if sequence.spike is None or sequence.interval else {'spike': sequence.spike}
    return {**sequence.frame_folders, **spike}


def missing_frames(sequence: Sequence) -> list[str]:
    """Report frames missing from a folder, and folders with different numbers of frames."""
    stems = sequence.stems.tolist()
    folders = folders_by_kind(sequence)
    suffixes = {kind: sequence.suffix(kind) for kind in folders}
    # A folder may contain unused files, such as the sharp frames that a blurred frame averages.
    present = {kind: stems_in(folder, suffixes[kind]).intersection(stems) for kind, folder in folders.items()}
    problems = [
        f'{folder / (stem + suffixes[kind])} is missing: the other folders have that frame'
        for kind, folder in folders.items()
        for stem in stems
        if stem not in present[kind]
    ]
    lengths = {kind: len(found) for kind, found in present.items()}
    if len(set(lengths.values())) > 1:
        counts = ', '.join(f'{length} in {kind}' for kind, length in lengths.items())
        problems.insert(0, f'{sequence.name} has {counts}: expected equal numbers of frames')
    return problems


def spike_file_problems(sequence: Sequence) -> list[str]:
    """Report spike files with a length that does not match the sensor size or the other files."""
    height, width = sequence.stored_size
    is_array = is_array_file(sequence.spike_path('name'))
    try:
        if not is_array:
            bytes_per_step(height, width)
    except DataError as error:
        return [f'{sequence.name}: {error}']
    problems, steps = [], {}
    for path, length in spike_file_lengths(sequence):
        try:
            # For a raw file, its length is enough, and the folder listing already has it.
            steps[path] = (
                count_steps(path, height, width, sequence.layout)
                if is_array
                else steps_in_bytes(path, length, height, width)
            )
        except DataError as error:
            problems.append(str(error))
    return problems + uneven_steps(sequence, steps)


def uneven_steps(sequence: Sequence, steps: dict[Path, int]) -> list[str]:
    """Report spike files that do not have the expected number of steps (default: the most common one)."""
    if not steps:
        return []
    expected = sequence.file_steps or Counter(steps.values()).most_common(1)[0][0]
    problems = [
        f'{path} has {found} steps of {sequence.stored_size[0]} x {sequence.stored_size[1]} spikes, '
        f'expected {expected}: correct the sensor size, or write the file again'
        for path, found in steps.items()
        if found != expected
    ]
    start, end = sequence.start, sequence.start + (sequence.steps or 1)
    if start < 0:
        problems.append(
            f'{sequence.name}: the exposure has {sequence.steps} steps, but its spike files have {expected}: '
            'choose a shorter exposure'
        )
    elif end > expected:
        problems.append(f'{sequence.name}: the exposure ends at step {end}, but its spike files have {expected} steps')
    return problems


def recording_problems(sequence: Sequence) -> list[str]:
    """Report a recording that does not match the sensor size, or ends before its last frame."""
    try:
        if not sequence.spike.is_file():
            return [f'{sequence.spike} is missing: expected the spikes of the recording']
        steps = count_steps(sequence.spike, *sequence.stored_size, sequence.layout)
    except DataError as error:
        return [str(error)]
    end = sequence.start + max(len(sequence.stems) - 1, 0) * sequence.interval + sequence.steps
    if end <= steps:
        return []
    return [
        f'{sequence.spike} has {steps} steps, but its {len(sequence.stems)} frames end at step {end} (each is exposed '
        f'for {sequence.steps} steps, one starts every {sequence.interval} steps, the first at step {sequence.start}): '
        'correct these numbers, or remove frames'
    ]


def image_size_problems(sequence: Sequence) -> list[str]:
    """Report first frames with different sizes, or with a size that does not match the spikes."""
    if not len(sequence.stems):
        return []
    first = sequence.stems[0].item()
    paths = [sequence.image_path(kind, first) for kind in sequence.frame_folders]
    sizes, problems = {}, []
    for path in filter(is_file, paths):
        try:
            sizes[path] = image_size(path)
        except DataError as error:
            problems.append(str(error))
    if sequence.spike is not None:
        return problems + [text for path, size in sizes.items() for text in ratio_problems(path, size, sequence)]
    if len(set(sizes.values())) > 1:
        found = ', '.join(f'{path} has {height} x {width}' for path, (height, width) in sizes.items())
        problems.append(f'{found} pixels: both must have one size')
    return problems


def ratio_problems(path: Path, size: tuple[int, int], sequence: Sequence) -> list[str]:
    """Report an image unless its size is the spike size times one simple ratio, equal in both directions."""
    ratios = [Fraction(rgb, spike) for rgb, spike in zip(size, sequence.spike_size, strict=True)]
    if ratios[0] == ratios[1] and ratios[0].numerator <= MAX_RATIO_NUMERATOR:
        return []
    return [
        f'{path} has {size[0]} x {size[1]} pixels, expected a multiple of the '
        f'{sequence.spike_size[0]} x {sequence.spike_size[1]} spikes, the same in both directions: '
        'correct the spike size, or crop the frames'
    ]


def spike_file_lengths(sequence: Sequence) -> list[tuple[Path, int]]:
    """Return (path, length in bytes) of the existing spike files of a sequence, in time order."""
    paths = [sequence.spike_path(stem) for stem in sequence.stems.tolist()]
    names = {path.name for path in paths}
    with os.scandir(sequence.spike) as entries:
        lengths = {entry.name: entry.stat().st_size for entry in entries if entry.name in names}
    return [(path, lengths[path.name]) for path in paths if path.name in lengths]
