"""Adds networks to a combination one by one. A small saving of the default's time may be a large one here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vrtspike.tuner.search import Combination, Fits, Measure, QualityOf, compatible, saves_more, step_with
from vrtspike.tuner.trials import Measured, Trial, is_affordable, is_known


def extend(
    found: Combination,
    trials: Sequence[Trial],
    measure: Measure,
    fits: Fits,
    quality_of: QualityOf,
    max_loss_db: float,
    time_left: Callable[[], bool],
) -> None:
    """Add the network that makes the whole fastest and loses no more than is allowed; repeat until there is none.

    Each is measured with all that is kept, and again after every addition. It may replace exact candidates and lower
    precision, but no other network. It must be faster in every round.

    Args:
        found: The combination, which is extended in place.
        trials: Trials that may be added, each measured alone.
        measure: Measures overrides.
        fits: Returns whether a result fits into memory.
        quality_of: Measures quality. If it returns None, there is no time for it, and the search ends.
        max_loss_db: Largest loss of all together.
        time_left: Returns whether another addition may be tried.
    """
    left = list(trials)
    while time_left():
        networks = [each for each in found.kept if each.changes_network]
        left = [trial for trial in left if compatible(trial, networks) == networks]
        pairs = [(trial, step_with(trial, found, measure)) for trial in left]
        found.steps += [step for _, step in pairs]
        left = [trial for trial, step in pairs if isinstance(step.result, Measured)]
        more = [pair for pair in pairs if saves_more(pair[1], found.saving) and fits(pair[1].result)]
        faster = [(trial, step) for trial, step in more if step.result.interval[0] > found.saving]
        for trial, step in sorted(faster, key=lambda pair: -pair[1].result.saving):
            left.remove(trial)
            parts = [*compatible(trial, found.kept), trial]
            step.difference_db = quality_of(parts)
            if step.difference_db is None:
                return
            if is_affordable(step.difference_db, max_loss_db):
                step.kept, found.kept, found.difference = True, parts, step.difference_db
                found.trained_steps[trial.name] = step
                break
        else:
            return


def may_be_added(trial: Trial) -> bool:
    """Return whether a trial is another network of unknown quality that was not slower in every round."""
    return (
        trial.changes_network
        and isinstance(trial.result, Measured)
        and trial.result.interval[1] > 0
        and not is_known(trial.difference_db)
    )
