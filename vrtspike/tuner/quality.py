"""What a faster network costs in dB: short trainings of all variants alike, several seeds, as an ablation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vrtspike.experiments.record import read_run, record_of
from vrtspike.experiments.runs import Run, resolve, train_all
from vrtspike.experiments.statistics import LEAST_GAIN_DB
from vrtspike.experiments.variants import REFERENCE, Variant
from vrtspike.tuner.candidates import EXACT, PRECISION, Overrides
from vrtspike.tuner.search import Difference, Trial, affordable, is_known


@dataclass
class QualityMeasurer:
    """Trains the default and other configs, each from the same weights on the same data, seed by seed.

    Finished runs are not repeated. What would not end in time is not begun; where the default's first run gains too
    little over the blurred input for any difference to count, no other is begun either.

    Args:
        config: The config's file.
        common: Overrides of all, the number of iterations among them.
        plugins: Plugins of all.
        seeds: Of weights and data; a difference needs three.
        folder: Of the runs.
        train_tool: ``tools/train.py``.
        full_length: Whether the config's ``cpu_overrides`` are refused.
        seconds_left: Of the budget.
        say: Called with what is trained.
    """

    config: str
    common: Overrides
    plugins: Sequence[str]
    seeds: Sequence[int]
    folder: Path
    train_tool: Path
    full_length: bool
    seconds_left: Callable[[], float]
    say: Callable[[str], None] = lambda what: None
    variants: list[Variant] = field(default_factory=lambda: [Variant(REFERENCE)])
    failures: dict[str, str] = field(default_factory=dict)
    savings: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    """Seconds of a training of the default; others are expected to take as much less as their steps do."""
    missing: str = ''
    """Why the latest call measured nothing: 'no_time', 'no_gain', 'no_reference' (it failed); empty where it did."""

    def __call__(self, trials: Sequence[Trial], reserve: int = 0) -> dict[str, Difference]:
        """Return the differences in dB by name, of as many of the trials as there is time for.

        Args:
            trials: With ``name``, ``overrides`` and, where that is known, ``saving``; those that matter most first.
            reserve: How many trainings of further configs must still fit.
        """
        self.savings |= {trial['name']: trial.get('saving', 0.0) for trial in trials}
        first = self._run(self.variants[0], self.seeds[0])
        if not self._train(first):
            self.missing = 'no_reference' if REFERENCE in self.failures else 'no_time'
            return {}
        if read_run(first).gain_db < LEAST_GAIN_DB:
            self.missing = 'no_gain'
            return {}
        chosen = self._chosen(trials, reserve) or self._chosen(trials, 0)[:1]
        self.missing = '' if chosen else 'no_time'
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
        return msgspec.to_builtins(record_of(self.variants, runs, self.failures, self.config, self.common))

    def _chosen(self, trials: Sequence[Trial], reserve: int) -> list[Variant]:
        """Return the first trials whose trainings fit into the time, ``reserve`` further configs beside them."""
        left = self.seconds_left() - reserve * len(self.seeds) * self.longest
        chosen: list[Variant] = []
        for trial in trials:
            more = [*chosen, Variant(trial['name'], trial['overrides'])]
            runs = [self._run(variant, seed) for seed in self.seeds for variant in (self.variants[0], *more)]
            needed = sum(self._seconds(run) for run in runs if not run.report.is_file())
            if not needed or needed <= left:
                chosen = more
        return chosen

    def _run(self, variant: Variant, seed: int) -> Run:
        return Run(variant, seed, self.folder)

    def _train(self, run: Run) -> bool:
        """Train one run if it is not finished and there is time; return whether it is finished."""
        if run.report.is_file():
            self._took(run, seconds_of(run))
            return True
        if run.variant.name in self.failures or self.seconds_left() <= self._seconds(run):
            return False
        self.say(f'{run.variant.name}, seed {run.seed}')
        began = time.monotonic()
        failed = train_all([run], self._resolve, self.train_tool)
        self.failures |= {name: str(failure) for name, failure in failed.items()}
        self._took(run, time.monotonic() - began)
        return run.report.is_file()

    def _seconds(self, run: Run) -> float:
        """Return how long a run is expected to take."""
        return self.longest * (1 - self.savings.get(run.variant.name, 0.0))

    def _took(self, run: Run, seconds: float) -> None:
        """Learn from a run: one that took longer than expected lets expect as much of the others."""
        self.longest = max(self.longest, seconds / (1 - self.savings.get(run.variant.name, 0.0)))

    def _resolve(self, variant: Variant) -> Any:
        return resolve(variant, self.config, self.common, self.plugins, self.full_length)


def seconds_of(run: Run) -> float:
    """Return about how long a finished run took."""
    found = read_run(run)
    return found.iterations * found.iteration_ms / 1e3


def differences(record: dict[str, Any] | None) -> dict[str, Difference]:
    """Return ``mean``, ``low``, ``high`` and ``verdict`` in dB by trial."""
    if record is None:
        return {}
    return {row['name']: row['difference_db'] for row in record['variants'] if row['difference_db']}


def acceptable(trial: Trial, max_loss_db: float) -> bool:
    """Whether a trial may be taken: what it loses is affordable, or not known of fewer bits alone."""
    found = trial.get('difference_db')
    return trial['kind'] == EXACT or affordable(found, max_loss_db) or (
        trial['kind'] == PRECISION and not is_known(found))  # fmt: skip
