"""The contents and the problems of a data set, per split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vrtspike.datasets.checks import find_problems
from vrtspike.datasets.clips import read_frames
from vrtspike.datasets.io.images import image_size
from vrtspike.datasets.io.packed_spikes import packed_spikes
from vrtspike.datasets.sources.sequence import SPLITS, Sequence
from vrtspike.datasets.threshold import Suggestion, suggest_threshold
from vrtspike.errors import DataError


@dataclass
class SplitInventory:
    """One split of a data set.

    Args:
        split: ``'train'`` or ``'val'``.
        sequences: The sequences; empty if they cannot be listed.
        problems: One message per problem.
        frame_sizes: The distinct (height, width) of the sequences' first frames.
        suggestion: The threshold estimated from the first sequence; None if it cannot be estimated.
    """

    split: str
    sequences: list[Sequence] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    frame_sizes: list[tuple[int, int]] = field(default_factory=list)
    suggestion: Suggestion | None = None

    @property
    def frames(self) -> int:
        """Frames of all sequences."""
        return sum(len(sequence.stems) for sequence in self.sequences)

    def clips(self, clip_len: int) -> int:
        """Return how many clips of ``clip_len`` frames the sequences have."""
        return sum(max(len(sequence.stems) - clip_len + 1, 0) for sequence in self.sequences)


def take_inventory(source: Any, clip_len: int) -> list[SplitInventory]:
    """Return the inventory of both splits of a source."""
    return [inventory_of(source, split, clip_len) for split in SPLITS]


def inventory_of(source: Any, split: str, clip_len: int) -> SplitInventory:
    """Return the inventory of one split."""
    found = SplitInventory(split)
    try:
        found.sequences = source.sequences(split)
    except DataError as error:
        found.problems.append(str(error))
        return found
    found.problems = find_problems(source, split, found.sequences, clip_len)
    if not found.problems:
        found.suggestion = suggest_threshold(found.sequences[0])
        found.frame_sizes = sorted({size for sequence in found.sequences for size in first_frame_size(sequence)})
    return found


def first_frame_size(sequence: Sequence) -> list[tuple[int, int]]:
    """Return the (height, width) of a sequence's first frame; empty if it has only spikes."""
    stem = sequence.stems[0].item()
    return [image_size(sequence.image_path(kind, stem)) for kind in list(sequence.frame_folders)[:1]]


def damaged_frames(sequence: Sequence) -> Iterator[str | None]:
    """Read every frame and spike file of a sequence; yield an error message or None per position."""
    sizes: dict[str, tuple[int, int]] = {}
    for position, stem in enumerate(sequence.stems.tolist()):
        one = range(position, position + 1)
        try:
            found = {kind: frames.shape[1:3] for kind, frames in read_frames(sequence, one).items()}
            if sequence.spike is not None:
                packed_spikes(sequence, one)[0]
        except DataError as error:
            yield str(error)
            continue
        changed = [kind for kind, size in found.items() if sizes.setdefault(kind, size) != size]
        yield next((size_problem(sequence.image_path(kind, stem), found[kind], sizes[kind]) for kind in changed), None)


def size_problem(path: Path, size: tuple[int, int], others: tuple[int, int]) -> str:
    """Return the error message about a frame that differs in size from the frames before it."""
    return (
        f'{path} has {size[0]} x {size[1]} pixels, but the frames before it have {others[0]} x {others[1]}: '
        'the frames of a sequence must have one size'
    )
