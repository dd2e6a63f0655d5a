"""What a faster network loses in quality: all variants are trained alike for a short time, as in an ablation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vrtspike.candidates import Overrides
from vrtspike.experiments.record import read_run, record_of
from vrtspike.experiments.runs import Run, resolve, train_all
from vrtspike.experiments.statistics import LEAST_GAIN_DB, Difference
from vrtspike.experiments.variants import REFERENCE, Variant


class Training(msgspec.Struct, frozen=True):
    """Overrides whose quality is to be measured by training.

    Args:
        name: What they are called.
        overrides: What they set in the config.
        saving: Share of the default's training time that their training is expected to save.
    """

    name: str
    overrides: Overrides
    saving: float = 0.0


@dataclass
class QualityMeasurer:
    """Trains the default and other configs from the same weights on the same data, seed by seed.

    Finished runs are not repeated. A training that would not end in time is not begun. Where the default's first run
    gains too little over the blurred input for any difference to count, no other is begun either.

    Args:
        config: The config's file.
        shared_overrides: Overrides of all, the number of iterations among them.
        plugins: Plugins of all.
        seeds: Seeds of weights and data; an informative difference needs three.
        folder: Where the runs go.
        train_tool: ``tools/train.py``.
        full_length: Whether to ignore the config's ``cpu_overrides``.
        seconds_left: Returns what is left of the budget.
        announce: Called with what is trained.
    """

    config: str
    shared_overrides: Overrides
    plugins: Sequence[str]
    seeds: Sequence[int]
    folder: Path
    train_tool: Path
    full_length: bool
    seconds_left: Callable[[], float]
    announce: Callable[[str], None] = lambda what: None
    variants: list[Variant] = field(default_factory=lambda: [Variant(REFERENCE)])
    failures: dict[str, str] = field(default_factory=dict)
    savings: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    """Seconds of a training of the default. The others are expected to take less, as their steps do."""
    why_unknown: str = ''
    """Why the latest call measured nothing, 'no_time', 'no_gain' or 'no_reference' (it failed); empty if it did."""

    def __call__(self, trainings: Sequence[Training], reserve: int = 0) -> dict[str, Difference]:
        """Return the differences by name, for as many trainings as there is time for.

        Args:
            trainings: What to train, the most important first.
            reserve: How many further configs there must be time for afterwards.
        """
        self.savings |= {training.name: training.saving for training in trainings}
        first = self._run(self.variants[0], self.seeds[0])
        if not self._train(first):
            self.why_unknown = 'no_reference' if REFERENCE in self.failures else 'no_time'
            return {}
        if read_run(first).gain_db < LEAST_GAIN_DB:
            self.why_unknown = 'no_gain'
            return {}
        chosen = self._chosen(trainings, reserve) or self._chosen(trainings, 0)[:1]
        self.why_unknown = '' if chosen else 'no_time'
        if not chosen:
            return {}
        self.variants += [variant for variant in chosen if variant not in self.variants]
        for seed in self.seeds:
            for variant in (self.variants[0], *chosen):
                self._train(self._run(variant, seed))
        return differences(self.record())

    def record(self) -> dict[str, Any] | None:
        """Return the record of all runs so far; None without any of the default."""
        runs = [self._run(variant, seed) for seed in self.seeds for variant in self.variants]
        if not any(run.variant.name == REFERENCE and run.report.is_file() for run in runs):
            return None
        record = record_of(self.variants, runs, self.failures, self.config, self.shared_overrides)
        return msgspec.to_builtins(record)

    def _chosen(self, trainings: Sequence[Training], reserve: int) -> list[Variant]:
        """Return the first variants that there is time for, and for ``reserve`` further configs."""
        left = self.seconds_left() - reserve * len(self.seeds) * self.longest
        chosen: list[Variant] = []
        for training in trainings:
            more = [*chosen, Variant(training.name, training.overrides)]
            runs = [self._run(variant, seed) for seed in self.seeds for variant in (self.variants[0], *more)]
            needed = sum(self._seconds(run) for run in runs if not run.report.is_file())
            if not needed or needed <= left:
                chosen = more
        return chosen

    def _run(self, variant: Variant, seed: int) -> Run:
        return Run(variant, seed, self.folder)

    def _train(self, run: Run) -> bool:
        """Train a run unless it is finished or there is no time; return whether it is finished."""
        if run.report.is_file():
            self._learn_duration(run, seconds_of(run))
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
        """Expect of every run that it takes as long as the slowest so far."""
        self.longest = max(self.longest, seconds / (1 - self.savings.get(run.variant.name, 0.0)))

    def _resolve(self, variant: Variant) -> Any:
        return resolve(variant, self.config, self.shared_overrides, self.plugins, self.full_length)


def seconds_of(run: Run) -> float:
    """Return about how long a finished run took."""
    found = read_run(run)
    return found.iterations * found.iteration_ms / 1e3


def differences(record: dict[str, Any] | None) -> dict[str, Difference]:
    """Return the differences in the record of an ablation, by name."""
    rows = record['variants'] if record else []
    return {
        row['name']: msgspec.convert(row['difference_db'], Difference)
        for row in rows
        if row['difference_db'] is not None
    }
