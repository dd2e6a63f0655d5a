"""Measures how much quality faster networks lose: all are trained alike for a short time, as in an ablation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vrtspike.candidates import Overrides
from vrtspike.experiments.record import AblationRecord, gains_enough, read_run, record_of
from vrtspike.experiments.runs import Run, resolve, train_all
from vrtspike.experiments.statistics import Difference
from vrtspike.experiments.variants import REFERENCE, Variant
from vrtspike.tuner.record import SearchOptions


class Training(msgspec.Struct, frozen=True):
    """Overrides whose quality is measured by training.

    Args:
        name: Their name.
        overrides: What they set in the config.
        saving: Share of the default's training time that their training is expected to save.
    """

    name: str
    overrides: Overrides
    saving: float = 0.0


@dataclass
class QualityMeasurer:
    """Trains the default and other configs from the same weights on the same data, seed by seed.

    Finished runs are not repeated. A training that would not end in time does not start. If the default's first run
    gains too little over the blurred input for any difference to count, no other training starts.

    Args:
        options: The config, and how it is trained. An informative difference needs three seeds.
        folder: Folder of the runs.
        train_tool: ``tools/train.py``.
        seconds_left: Returns the rest of the budget in seconds.
        announce: Called with the name of each training.
    """

    options: SearchOptions
    folder: Path
    train_tool: Path
    seconds_left: Callable[[], float]
    announce: Callable[[str], None] = lambda what: None
    variants: list[Variant] = field(default_factory=lambda: [Variant(REFERENCE)])
    failures: dict[str, str] = field(default_factory=dict)
    savings: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    """Duration of a training of the default in seconds. Others are expected to be shorter, like their steps."""
    why_unknown: str = ''
    """Why the latest call measured nothing: 'no_time', 'no_gain' or 'no_reference' (it failed). Otherwise empty."""

    def __call__(self, trainings: Sequence[Training], reserve: int = 0) -> dict[str, Difference]:
        """Return the differences by name, for as many trainings as there is time for.

        Args:
            trainings: The most important first.
            reserve: Number of further configs for which time must be left.
        """
        self.savings |= {training.name: training.saving for training in trainings}
        first = Run(self.variants[0], self.options.seeds[0], self.folder)
        if not self._train(first):
            self.why_unknown = 'no_reference' if REFERENCE in self.failures else 'no_time'
        elif not gains_enough(first):
            self.why_unknown = 'no_gain'
        else:
            chosen = self._chosen(trainings, reserve) or self._chosen(trainings, 0)[:1]
            self.why_unknown = '' if chosen else 'no_time'
        if self.why_unknown:
            return {}
        self.variants += [variant for variant in chosen if variant not in self.variants]
        for run in self._runs([self.variants[0], *chosen]):
            self._train(run)
        return {each.name: each.difference_db for each in self.record().variants if each.difference_db}

    def record(self) -> AblationRecord | None:
        """Return the record of all runs so far; None without any of the default."""
        runs = self._runs(self.variants)
        if not any(run.variant.name == REFERENCE and run.report.is_file() for run in runs):
            return None
        return record_of(self.variants, runs, self.failures, self.options.config_path, self._shared_overrides)

    @property
    def _shared_overrides(self) -> Overrides:
        return {**self.options.shared_overrides, **self.options.training_length}

    def _chosen(self, trainings: Sequence[Training], reserve: int) -> list[Variant]:
        """Return the first variants that there is time for, and for ``reserve`` further configs."""
        left = self.seconds_left() - reserve * len(self.options.seeds) * self.longest
        chosen: list[Variant] = []
        for training in trainings:
            more = [*chosen, Variant(training.name, training.overrides)]
            runs = self._runs([self.variants[0], *more])
            needed = sum(self._seconds(run) for run in runs if not run.report.is_file())
            if not needed or needed <= left:
                chosen = more
        return chosen

    def _runs(self, variants: Sequence[Variant]) -> list[Run]:
        return [Run(variant, seed, self.folder) for seed in self.options.seeds for variant in variants]

    def _train(self, run: Run) -> bool:
        """Train a run unless it is finished or there is no time; return whether it is finished."""
        if run.report.is_file():
            found = read_run(run)
            self._learn_duration(run, found.iterations * found.scores.iteration_ms / 1e3)
            return True
        if run.variant.name in self.failures or self.seconds_left() <= self._seconds(run):
            return False
        self.announce(f'{run.variant.name}, seed {run.seed}')
        began = time.monotonic()
        failed = train_all([run], self._resolve, self.train_tool)
        self.failures |= {name: str(failure) for name, failure in failed.items()}
        self._learn_duration(run, time.monotonic() - began)
        return run.report.is_file()

    def _seconds(self, run: Run) -> float:
        """Return how long a run is expected to take."""
        return self.longest * (1 - self.savings.get(run.variant.name, 0.0))

    def _learn_duration(self, run: Run, seconds: float) -> None:
        """Expect every run to take as long as the slowest so far."""
        self.longest = max(self.longest, seconds / (1 - self.savings.get(run.variant.name, 0.0)))

    def _resolve(self, variant: Variant) -> Any:
        options = self.options
        return resolve(variant, options.config_path, self._shared_overrides, options.plugins, options.full_length)
