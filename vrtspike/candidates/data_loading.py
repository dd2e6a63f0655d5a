"""How batches are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vrtspike.candidates.candidate import EXACT, Candidate, Purpose
from vrtspike.candidates.setting import Setting

WORKERS = (0, 1, 2, 4, 8, 16)
WORKERS_KEY = 'train_dataloader.num_workers'


def data_workers(setting: Setting) -> Iterator[Candidate]:
    """Yield other numbers of worker processes, at most one for each core."""
    if not setting.trains:
        return
    for workers in WORKERS:
        if workers <= setting.cores and workers != setting.loader.get('num_workers', 0):
            overrides = {WORKERS_KEY: workers, 'train_dataloader.persistent_workers': True}
            yield Candidate(f'data_workers_{workers}', EXACT, overrides, 'data')


def prefetching(setting: Setting) -> Iterator[Candidate]:
    """Yield more workers that read further ahead."""
    overrides = {
        WORKERS_KEY: 8,
        'train_dataloader.prefetch_factor': 4,
        'train_dataloader.persistent_workers': True,
        'train_dataloader.pin_memory': True,
    }
    note = 'Use more workers and read more batches ahead. Each worker needs a core of its own.'
    yield Candidate('prefetching', EXACT, overrides, 'data', Purpose.TRAINING, note=note)


def changes_data_loading(overrides: Mapping[str, Any]) -> bool:
    """Return whether overrides change how batches are read, which only a step that waits for its batch shows."""
    return WORKERS_KEY in overrides
