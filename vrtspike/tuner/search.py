"""Candidates one at a time, then combined: what is worth measuring, and what to keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vrtspike.candidates import KINDS, Candidate, Overrides
from vrtspike.candidates.candidate import overlap
from vrtspike.experiments.statistics import Difference
from vrtspike.tuner.trials import (
    LEAST_SAVING,
    Failed,
    Measured,
    Pruned,
    Skipped,
    Step,
    Trial,
    is_affordable,
    is_known,
)

Measure = Callable[[str, Overrides], Measured | Failed]
"""Measures overrides, given a name for them."""

Fits = Callable[[Measured], bool]
"""Returns whether the peak memory of a result is allowed."""

QualityOf = Callable[[Sequence[Trial]], Difference | None]
"""Returns the difference in quality of several trials together; None if it cannot be measured."""


@dataclass
class Combination:
    """The trials that are kept so far, and how they were found.

    Args:
        kept: The trials, each measured.
        steps: Everything that was measured together.
        difference: Difference in quality of all that is kept; None if it is unknown or the function is the same.
        trained_steps: The steps that added a trial and measured the quality, by the name of the trial.
    """

    kept: list[Trial] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    difference: Difference | None = None
    trained_steps: dict[str, Step] = field(default_factory=dict)

    @property
    def last_kept(self) -> Step | None:
        """The latest step that was kept."""
        return next((step for step in reversed(self.steps) if step.kept), None)

    @property
    def saving(self) -> float:
        """Share of the default's time that is saved."""
        return self.last_kept.result.saving if self.last_kept else 0.0


def try_singly(
    candidates: Sequence[Candidate], shares: Mapping[str, float], measure: Measure, time_left: Callable[[], bool]
) -> list[Trial]:
    """Measure every candidate alone.

    Within its kind, the candidate with the largest possible saving comes first. Those that are slow to measure come
    last. A candidate is skipped if it is unavailable, if it cannot save :data:`LEAST_SAVING`, or if no time is left.
    """
    ordered = sorted(
        candidates, key=lambda each: (each.slow_to_measure, KINDS.index(each.kind), -each.largest_saving(shares))
    )
    return [try_candidate(candidate, shares, measure, time_left) for candidate in ordered]


def try_candidate(
    candidate: Candidate, shares: Mapping[str, float], measure: Measure, time_left: Callable[[], bool]
) -> Trial:
    """Return the trial of one candidate, measured or skipped."""
    most = candidate.largest_saving(shares) if shares else 1.0
    if candidate.unavailable:
        reason = candidate.unavailable
    elif most < LEAST_SAVING:
        reason = 'small_share'
    else:
        reason = '' if time_left() else 'time_over'
    if reason:
        result = Skipped(name=candidate.name, overrides=candidate.overrides, skipped=reason)
    else:
        result = measure(candidate.name, candidate.overrides)
    return Trial(kind=candidate.kind, result=result, most=most)


def winners(trials: Iterable[Trial], accept: Callable[[Trial], bool] = lambda trial: True) -> list[Trial]:
    """Return the trials that save time and are accepted, the fastest first."""
    found = [trial for trial in trials if trial.saves_time and accept(trial)]
    return sorted(found, key=lambda trial: -trial.result.saving)


def combine(trials: Sequence[Trial], measure: Measure, fits: Fits = lambda result: True) -> Combination:
    """Add the trials in their order, and keep each that makes the whole faster and fits into memory.

    A trial replaces those that set one of its keys differently. If the savings of the single trials show that this
    cannot be faster, it is not measured.
    """
    found = Combination()
    for trial in trials:
        step = step_with(trial, found, measure, prune=True)
        step.kept = saves_more(step, found.saving) and fits(step.result)
        if step.kept:
            found.kept = [*compatible(trial, found.kept), trial]
        found.steps.append(step)
    return found


def step_with(trial: Trial, found: Combination, measure: Measure, prune: bool = False) -> Step:
    """Measure a combination together with one more trial, and return this step; nothing is kept yet.

    With ``prune`` it is not measured if the trial replaces others and is not expected to be faster.
    """
    stay = compatible(trial, found.kept)
    parts = [*stay, trial]
    expected = expected_time(trial, found)
    replaced = [each.name for each in found.kept if each not in stay]
    if prune and replaced and expected >= 1 - found.saving:
        return step_of(parts, Pruned(name=trial.name, overrides=together(parts)), replaced)
    result = measure(name_of(parts), together(parts)) if len(parts) > 1 else trial.result
    step = step_of(parts, result, replaced)
    if isinstance(result, Measured) and expected > 0:
        step.interaction = (1 - result.saving) / expected
    return step


def step_of(parts: Sequence[Trial], result: Measured | Failed | Pruned, replaces: Sequence[str] = ()) -> Step:
    """Return the step that adds the last of several trials to the others."""
    step = Step(
        added=parts[-1].name,
        parts=[part.name for part in parts],
        replaces=list(replaces),
        kind=max((part.kind for part in parts), key=KINDS.index),
        result=result,
    )
    if result is parts[-1].result:  # alone: the step is the trial
        step.difference_db, step.most = parts[-1].difference_db, parts[-1].most
    return step


def compatible(trial: Trial, kept: Sequence[Trial]) -> list[Trial]:
    """Return the kept trials that a trial does not replace, because it sets none of their keys differently."""
    return [each for each in kept if not clashes(each.overrides, trial.overrides)]


def expected_time(trial: Trial, found: Combination) -> float:
    """Return the share of the default's time that a combination and a trial would take if they were independent."""
    stay = compatible(trial, found.kept)
    unchanged = len(stay) == len(found.kept)
    left = 1 - found.saving if unchanged else math.prod(1 - each.result.saving for each in stay)
    return left * (1 - trial.result.saving)


def saves_more(step: Step, best: float) -> bool:
    """Return whether a step saves noticeably more time than ``best``."""
    return isinstance(step.result, Measured) and 1 - step.result.saving < (1 - LEAST_SAVING) * (1 - best)


def settle(
    trials: Sequence[Trial],
    combined: Callable[[Sequence[Trial]], Combination],
    quality_of: QualityOf,
    max_loss_db: float,
) -> Combination:
    """Combine, then remove trials until the combination loses no more quality than is allowed.

    If the quality of the combination is unknown, at most one other network stays. Its quality alone is known.

    Args:
        trials: Trials that may be taken, each affordable alone.
        combined: Combines trials; see :func:`combine`.
        quality_of: Measures the quality of the combination.
        max_loss_db: Largest loss of all together.
    """
    left = list(trials)
    while True:
        found = combined(left)
        lossy = [trial for trial in found.kept if not trial.is_exact]
        found.difference = quality_of(found.kept) if lossy else None
        changes = [trial for trial in found.kept if trial.changes_network]
        known = is_known(found.difference)
        if not lossy or is_affordable(found.difference, max_loss_db) or (not known and len(changes) < 2):
            return found
        out = min(lossy, key=mean_difference) if known else changes[-1]
        left = [trial for trial in left if trial.name != out.name]


def mean_difference(trial: Trial) -> float:
    """Return a trial's mean difference in dB, 0 if it was not measured."""
    found = trial.difference_db
    return found.mean if found and found.mean is not None else 0.0


def name_of(parts: Sequence[Trial]) -> str:
    """Return the name of several trials together."""
    return '+'.join(part.name for part in parts)


def together(parts: Sequence[Trial]) -> Overrides:
    """Return the overrides of several trials."""
    return {key: value for part in parts for key, value in part.overrides.items()}


def clashes(one: Overrides, other: Overrides) -> bool:
    """Return whether both set the same node, or one inside the other, to different values."""
    return any(overlap(a, b) and (a != b or one[a] != other[b]) for a in one for b in other)
