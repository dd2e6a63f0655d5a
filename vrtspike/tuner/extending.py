"""Networks added to what is kept, one after the other: what saves little of the default may save much of the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vrtspike.tuner.candidates import CHANGES
from vrtspike.tuner.search import (
    Difference,
    Measure,
    Trial,
    affordable,
    beside,
    changes_network,
    expected_time,
    is_known,
    measured,
    saves_more,
    step_of,
)


@dataclass
class Combination:
    """What is kept so far, and how it came about.

    Args:
        kept: The trials.
        steps: All that was measured together; see :func:`~vrtspike.tuner.search.combine`. Those that were trained
            here have a ``difference_db`` against the default.
        difference: In dB, of all that is kept; None: not known, or it computes the same function.
    """

    kept: list[Trial]
    steps: list[Trial]
    difference: Difference | None

    @property
    def saving(self) -> float:
        """Share of the default's time that is saved."""
        return next((step['saving'] for step in reversed(self.steps) if step['kept']), 0.0)


def extend(
    found: Combination,
    trials: Sequence[Trial],
    measure: Measure,
    allowed: Callable[[Trial], bool],
    quality_of: Callable[[Sequence[Trial]], Difference | None],
    max_loss_db: float,
    time_left: Callable[[], bool],
) -> None:
    """Add the network that makes the whole fastest and loses no more than is allowed, until there is none.

    Each is measured with all that is kept, and again after every addition. It may replace what computes the same
    function or takes fewer bits, but no other network. What is faster in every round counts.

    Args:
        found: What there is to begin with; it is extended in place.
        trials: What may be added, measured alone.
        measure: Measures overrides by name.
        allowed: Whether a step needs no more memory than there is.
        quality_of: Of several trials together; None where there is no time for it, which ends the search.
        max_loss_db: Most that all may lose together.
        time_left: Whether a further round may begin.
    """
    left = list(trials)
    while time_left():
        left = [trial for trial in left if replaces_no_network(trial, found.kept)]
        pairs = [(trial, step_with(trial, found, measure)) for trial in left]
        found.steps += [step for _, step in pairs]
        left = [trial for trial, step in pairs if 'saving' in step]
        faster = [(trial, step) for trial, step in pairs if surely_faster(step, found.saving) and allowed(step)]
        for trial, step in sorted(faster, key=lambda pair: -pair[1]['saving']):
            left.remove(trial)
            parts = [*beside(trial, found.kept), {**trial, 'step': step}]
            difference = step['difference_db'] = quality_of(parts)
            if difference is None:
                return
            if affordable(difference, max_loss_db):
                step['kept'], found.kept, found.difference = True, parts, difference
                break
        else:
            return


def may_be_added(trial: Trial) -> bool:
    """Whether a trial is another network of unknown quality that was not slower than the default in every round."""
    return (
        changes_network(trial)
        and 'saving' in trial
        and trial['interval'][1] > 0
        and not is_known(trial.get('difference_db'))
    )


def surely_faster(step: Trial, best: float) -> bool:
    """Whether a step saves more than ``best``, in every round."""
    return saves_more(step, best) and step['interval'][0] > best


def replaces_no_network(trial: Trial, kept: Sequence[Trial]) -> bool:
    """Whether nothing that a trial would replace is another network."""
    stay = beside(trial, kept)
    return all(each['kind'] != CHANGES for each in kept if each not in stay)


def step_with(trial: Trial, found: Combination, measure: Measure) -> Trial:
    """Return the step that adds a trial to what is kept, measured; whether it is kept is not known yet."""
    stay = beside(trial, found.kept)
    step = step_of([*stay, trial], [each['name'] for each in found.kept if each not in stay])
    return {**measured(step, trial, expected_time(trial, found.kept, found.saving), measure), 'kept': False}
