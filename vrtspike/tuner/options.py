"""What the user asks of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from vrtspike.candidates import Overrides


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asks of a search.

    Args:
        config: The config's file.
        shared_overrides: Overrides of every config, the default included.
        plugins: Plugins to load.
        minutes: Budget of the search.
        max_loss_db: Most that the quality may lose, in dB.
        memory_gib: Most memory that a step may need; None: any.
        objective: 'train' or 'infer'.
        iterations: Length of a training for quality; None takes the config's.
        seeds: Seeds of these trainings.
        folder: Where everything is written.
        full_length: Whether to ignore ``cpu_overrides``.
        command: The command line.
    """

    config: str
    shared_overrides: Overrides
    plugins: Sequence[str]
    minutes: float
    max_loss_db: float
    memory_gib: float | None
    objective: str
    iterations: int | None
    seeds: Sequence[int]
    folder: Path
    full_length: bool
    command: Sequence[str]

    @property
    def training_length(self) -> Overrides:
        """What sets the length of a training for quality."""
        return {'train_cfg.max_iters': self.iterations} if self.iterations else {}

    def fits(self, mib: float | None) -> bool:
        """Return whether so much memory may be needed; an unknown amount may."""
        return self.memory_gib is None or mib is None or mib <= 1024 * self.memory_gib
