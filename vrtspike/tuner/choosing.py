"""The choice among measured candidates: quality of the best, a combination that can be afforded, and its extension."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from vrtspike.candidates import KINDS, PRECISION
from vrtspike.candidates.data_loading import changes_data_loading
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.extending import extend, may_be_added
from vrtspike.tuner.options import SearchOptions
from vrtspike.tuner.quality import Training
from vrtspike.tuner.search import Combination, Measure, combine, name_of, settle, step_of, together, winners
from vrtspike.tuner.trials import Measured, Trial, is_affordable, is_known


class Quality(Protocol):
    """What measures quality; see :class:`~vrtspike.tuner.quality.QualityMeasurer`."""

    why_unknown: str
    failures: dict[str, str]
    seconds_left: Callable[[], float]

    def __call__(self, trainings: Sequence[Training], reserve: int = 0) -> dict[str, Difference]: ...

    def record(self) -> dict[str, Any] | None: ...


@dataclass
class Choice:
    """The state of a choice.

    Args:
        trials: The candidates, each tried alone.
        measure: Measures combinations.
        quality: Measures their quality.
        options: What the user asks for.
        default_memory_mib: Peak memory of the default; None where it is not known.
        differences: The known differences in quality, by the names of trials and combinations.
        why_unknown: Why the quality is not known, as a key of the report's texts; empty where it is.
        combination: What is kept.
    """

    trials: list[Trial]
    measure: Measure
    quality: Quality
    options: SearchOptions
    default_memory_mib: float | None = None
    differences: dict[str, Difference] = field(default_factory=dict)
    why_unknown: str = ''
    combination: Combination = field(default_factory=Combination)

    def fits(self, result: Measured) -> bool:
        """Return whether a result needs no more memory than there is."""
        return self.options.fits(result.peak_memory_mib)

    def quality_of(self, parts: Sequence[Trial]) -> Difference | None:
        """Train several trials together and return their difference; None where that is not possible."""
        if self.why_unknown in ('no_gain', 'no_reference'):
            return None
        lossy = [part for part in parts if not part.is_exact]  # the others do not change the quality
        saving = 1 - math.prod(1 - part.result.saving for part in lossy)
        self.differences |= self.quality([self.training(name_of(lossy), together(lossy), saving)])
        return self.differences.get(name_of(lossy))

    def training(self, name: str, overrides: dict[str, Any], saving: float) -> Training:
        """Return what to train. A saving in restoring says nothing about the time of a training."""
        return Training(name, overrides, saving if self.options.objective == 'train' else 0.0)

    def add_differences(self) -> None:
        """Give every trial the difference that is known of it."""
        self.trials = [
            msgspec.structs.replace(trial, difference_db=self.differences.get(trial.name)) for trial in self.trials
        ]


def choose(
    trials: Sequence[Trial],
    measure: Measure,
    quality: Quality,
    options: SearchOptions,
    default_memory_mib: float | None = None,
) -> Choice:
    """Learn what the candidates that save time lose in quality, and combine those that pay."""
    choice = Choice(list(trials), measure, quality, options, default_memory_mib)
    measure_quality(choice)
    combine_affordable(choice)
    add_networks(choice)
    take_what_fits(choice)
    choice.add_differences()  # some were trained since
    return choice


def measure_quality(choice: Choice) -> None:
    """Train the fastest candidate of lower precision, which most users turn on first, and the fastest network."""
    lower_precision = winners(choice.trials, lambda trial: trial.kind == PRECISION and choice.fits(trial.result))[:1]
    network = winners(choice.trials, lambda trial: trial.changes_network and choice.fits(trial.result))[:1]
    lossy = [*lower_precision, *network]
    if lossy:
        trainings = [choice.training(trial.name, trial.overrides, trial.result.saving) for trial in lossy]
        choice.differences |= choice.quality(trainings, reserve=len(lossy) - 1)
        choice.why_unknown = choice.quality.why_unknown
    else:
        measured = any(not trial.is_exact and isinstance(trial.result, Measured) for trial in choice.trials)
        choice.why_unknown = 'no_changes' if measured else 'none_tried'
    choice.add_differences()


def combine_affordable(choice: Choice) -> None:
    """Combine what fits into memory and is affordable alone, such that the whole is affordable."""
    max_loss_db = choice.options.max_loss_db
    too_lossy = [
        trial.overrides.items()
        for trial in choice.trials
        if trial.kind == PRECISION and is_known(trial.difference_db) and not is_acceptable(trial, max_loss_db)
    ]

    def may_be_taken(trial: Trial) -> bool:
        includes_too_lossy = any(overrides <= trial.overrides.items() for overrides in too_lossy)
        return choice.fits(trial.result) and is_acceptable(trial, max_loss_db) and not includes_too_lossy

    taken = winners(choice.trials, may_be_taken)
    # What computes the same function comes first: it costs nothing. How data is read comes before everything: what is
    # measured together with it waits for data too.
    taken.sort(key=lambda trial: (KINDS.index(trial.kind), not changes_data_loading(trial.overrides)))
    found = settle(taken, lambda left: combine(left, choice.measure, choice.fits), choice.quality_of, max_loss_db)
    if found.difference:
        found.last_kept.difference_db = found.difference
    choice.combination = found


def add_networks(choice: Choice) -> None:
    """Add other networks to a combination of known quality, where trainings can tell their quality."""
    found = choice.combination
    # Where the reference gains too little, or in too few seeds, no training tells anything.
    informative = any(is_known(each) or name in choice.quality.failures for name, each in choice.differences.items())
    lossy = any(not trial.is_exact for trial in found.kept)
    if informative and (not lossy or is_known(found.difference)):
        extend(
            found,
            [trial for trial in choice.trials if may_be_added(trial)],
            choice.measure,
            choice.fits,
            choice.quality_of,
            choice.options.max_loss_db,
            lambda: choice.quality.seconds_left() > 0,
        )


def take_what_fits(choice: Choice) -> None:
    """Where nothing pays and the default does not fit into memory, take the fastest exact candidate that does fit."""
    if choice.combination.kept or choice.options.fits(choice.default_memory_mib):
        return
    measured = [trial for trial in choice.trials if trial.is_exact and isinstance(trial.result, Measured)]
    fitting = [trial for trial in measured if trial.result.peak_memory_mib and choice.fits(trial.result)]
    for trial in sorted(fitting, key=lambda trial: -trial.result.saving)[:1]:
        step = step_of([trial], trial.result)
        step.kept = True
        choice.combination.kept.append(trial)
        choice.combination.steps.append(step)


def is_acceptable(trial: Trial, max_loss_db: float) -> bool:
    """Return whether a trial may be taken.

    What it loses has to be affordable. Lower precision may also be taken where its loss is not known.
    """
    unknown_precision = trial.kind == PRECISION and not is_known(trial.difference_db)
    return trial.is_exact or unknown_precision or is_affordable(trial.difference_db, max_loss_db)
