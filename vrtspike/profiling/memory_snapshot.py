"""Snapshots of a GPU's memory by PyTorch's allocator, to be opened at https://pytorch.org/memory_viz."""

from __future__ import annotations

from pathlib import Path

import torch

from vrtspike.records.rank_files import file_of_rank
from vrtspike.runtime.atomic_write import atomic_write

MOST_ENTRIES = 100_000
"""Allocations and frees that a history keeps: the latest ones, a few hundred bytes each."""


def snapshot_path(work_dir: str | Path, rank: int) -> Path:
    """Return the file of a process in the folder of a run."""
    return Path(work_dir, file_of_rank('memory_snapshot.pickle', rank))


def record_history(device: torch.device) -> None:
    """Begin to record the allocations on a GPU, with the Python code that makes each."""
    torch.cuda.memory._record_memory_history(stacks='python', max_entries=MOST_ENTRIES, device=device)


def stop_history() -> None:
    """Stop recording and forget what was recorded."""
    torch.cuda.memory._record_memory_history(enabled=None)


def write_snapshot(path: Path) -> None:
    """Write what is allocated on the GPUs and, if it was recorded, the history of how that came about."""
    with atomic_write(path) as aside:
        torch.cuda.memory._dump_snapshot(str(aside))
