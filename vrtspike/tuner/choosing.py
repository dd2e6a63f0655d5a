"""The choice among measured candidates: quality of the best, a combination that can be afforded, and its extension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from vrtspike.candidates import KINDS, PRECISION
from vrtspike.candidates.training import changes_data_loading
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.extending import extend, may_be_added
from vrtspike.tuner.quality import QualityMeasurer, Training
from vrtspike.tuner.record import SearchOptions
from vrtspike.tuner.search import Combination, Measure, combine, name_of, settle, step_of, together, winners
from vrtspike.tuner.trials import Measured, Trial, is_affordable, is_known


def choose(
    trials: Sequence[Trial],
    measure: Measure,
    quality: QualityMeasurer,
    options: SearchOptions,
    default_memory_mib: float | None = None,
) -> Choice:
    """Measure the quality of candidates that save time, and combine those that pay off."""
    choice = Choice(list(trials), measure, quality, options, default_memory_mib)
    choice.measure_quality()
    choice.combine_affordable()
    choice.add_networks()
    choice.take_what_fits()
    choice.add_differences()  # of the trials that were trained since
    return choice


@dataclass
class Choice:
    """The state of a choice.

    Args:
        trials: The candidates, each tried alone.
        measure: Measures combinations.
        quality: Measures their quality.
        options: The user's options.
        default_memory_mib: Peak memory of the default; None if it is not known.
        differences: The known differences in quality, by the names of trials and combinations.
        why_unknown: Why the quality is not known, as a key of the report's template; empty if it is.
        combination: The trials that are kept.
    """

    trials: list[Trial]
    measure: Measure
    quality: QualityMeasurer
    options: SearchOptions
    default_memory_mib: float | None = None
    differences: dict[str, Difference] = field(default_factory=dict)
    why_unknown: str = ''
    combination: Combination = field(default_factory=Combination)

    def measure_quality(self) -> None:
        """Train the fastest candidate of lower precision, which most users turn on first, and the fastest network."""
        precision = winners(self.trials, lambda trial: trial.kind == PRECISION and self.fits(trial.result))
        networks = winners(self.trials, lambda trial: trial.changes_network and self.fits(trial.result))
        lossy = precision[:1] + networks[:1]
        if lossy:
            self.differences |= self.quality([self.training([trial]) for trial in lossy], reserve=len(lossy) - 1)
            self.why_unknown = self.quality.why_unknown
        else:
            measured = any(not trial.is_exact and isinstance(trial.result, Measured) for trial in self.trials)
            self.why_unknown = 'no_changes' if measured else 'none_tried'
        self.add_differences()

    def combine_affordable(self) -> None:
        """Combine the trials that fit into memory and are affordable alone, so that the whole is affordable."""
        too_lossy = [
            trial.overrides.items()
            for trial in self.trials
            if trial.kind == PRECISION and is_known(trial.difference_db) and not self.is_acceptable(trial)
        ]

        def may_be_taken(trial: Trial) -> bool:
            includes_too_lossy = any(overrides <= trial.overrides.items() for overrides in too_lossy)
            return self.fits(trial.result) and self.is_acceptable(trial) and not includes_too_lossy

        taken = winners(self.trials, may_be_taken)
        # Exact candidates come first: they cost nothing. Data loading comes before everything, because whatever is
        # measured together with it waits for data too.
        taken.sort(key=lambda trial: (KINDS.index(trial.kind), not changes_data_loading(trial.overrides)))
        combined = lambda left: combine(left, self.measure, self.fits)  # noqa: E731
        found = settle(taken, combined, self.quality_of, self.options.max_loss_db)
        if found.difference:
            found.last_kept.difference_db = found.difference
        self.combination = found

    def add_networks(self) -> None:
        """Add other networks to a combination of known quality, if trainings are informative."""
        found = self.combination
        # If the reference gains too little, or has too few seeds, no training is informative.
        informative = any(is_known(each) or name in self.quality.failures for name, each in self.differences.items())
        lossy = any(not trial.is_exact for trial in found.kept)
        if informative and (not lossy or is_known(found.difference)):
            networks = [trial for trial in self.trials if may_be_added(trial)]
            time_left = lambda: self.quality.seconds_left() > 0  # noqa: E731
            extend(found, networks, self.measure, self.fits, self.quality_of, self.options.max_loss_db, time_left)

    def take_what_fits(self) -> None:
        """If nothing pays off and the default does not fit into memory, take the fastest exact candidate that fits."""
        if self.combination.kept or self.options.fits(self.default_memory_mib):
            return
        measured = [trial for trial in self.trials if trial.is_exact and isinstance(trial.result, Measured)]
        fitting = [trial for trial in measured if trial.result.peak_memory_mib and self.fits(trial.result)]
        if fitting:
            fastest = max(fitting, key=lambda trial: trial.result.saving)
            step = step_of([fastest], fastest.result)
            step.kept = True
            self.combination.kept.append(fastest)
            self.combination.steps.append(step)

    def fits(self, result: Measured) -> bool:
        """Return whether the peak memory of a result is allowed."""
        return self.options.fits(result.peak_memory_mib)

    def is_acceptable(self, trial: Trial) -> bool:
        """Return whether the quality of a trial is good enough; see :func:`is_acceptable`."""
        return is_acceptable(trial, self.options.max_loss_db)

    def quality_of(self, parts: Sequence[Trial]) -> Difference | None:
        """Train several trials together and return their difference; None if that is not possible."""
        if self.why_unknown in ('no_gain', 'no_reference'):
            return None
        training = self.training([part for part in parts if not part.is_exact])  # exact ones do not change the quality
        self.differences |= self.quality([training])
        return self.differences.get(training.name)

    def training(self, parts: Sequence[Trial]) -> Training:
        """Return the training of several trials. What they save in restoring does not shorten it."""
        saving = 1 - math.prod(1 - part.result.saving for part in parts) if self.options.objective == 'train' else 0.0
        return Training(name_of(parts), together(parts), saving)

    def add_differences(self) -> None:
        """Give every trial its known difference."""
        self.trials = [
            msgspec.structs.replace(trial, difference_db=self.differences.get(trial.name)) for trial in self.trials
        ]


def is_acceptable(trial: Trial, max_loss_db: float) -> bool:
    """Return whether a trial may be taken: if its loss is affordable, or unknown and due to lower precision alone."""
    unknown_precision = trial.kind == PRECISION and not is_known(trial.difference_db)
    return trial.is_exact or unknown_precision or is_affordable(trial.difference_db, max_loss_db)
