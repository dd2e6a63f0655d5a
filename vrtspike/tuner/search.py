"""One remedy at a time, then together: what is worth measuring, and what to keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vrtspike.experiments.statistics import NOT_INFORMATIVE
from vrtspike.tuner.candidates import CHANGES, EXACT, KINDS, Overrides, Remedy

LEAST_SAVING = 0.02
"""What saves less of the time is called nothing: repeated measurements differ by as much."""

Trial = dict[str, Any]
"""``name``, ``kind``, ``overrides``; ``saving`` (share of the default's time), ``interval`` of it, ``ms_per_sample``,
``peak_memory_mib``, ``gmacs``, ``predicted_saving``; or ``skipped`` and why, or ``failure``."""

Difference = dict[str, Any]
"""``mean``, ``low``, ``high`` in dB and ``verdict``; see :func:`vrtspike.experiments.statistics.compare`."""

Measure = Callable[[str, Overrides], Trial]


def try_singly(
    remedies: Sequence[Remedy], shares: Mapping[str, float], measure: Measure, time_left: Callable[[], bool]
) -> list[Trial]:
    """Measure every remedy alone, those that may save most first within their kind, and the costly ones last.

    What cannot be tried, cannot save :data:`LEAST_SAVING`, or would begin after the time is over is listed with the
    reason in place of numbers.
    """
    ordered = sorted(remedies, key=lambda remedy: (remedy.costly, KINDS.index(remedy.kind), -remedy.most(shares)))
    return [tried(remedy, shares, measure, time_left) for remedy in ordered]


def tried(remedy: Remedy, shares: Mapping[str, float], measure: Measure, time_left: Callable[[], bool]) -> Trial:
    """Return the trial of one remedy, or why there is none: ``skipped`` names one of the report's words."""
    head = {'name': remedy.name, 'kind': remedy.kind, 'overrides': remedy.overrides}
    most = remedy.most(shares) if shares else 1.0
    if remedy.missing:
        return {**head, 'skipped': remedy.missing, 'most': most}
    if most < LEAST_SAVING:
        return {**head, 'skipped': 'small_share', 'most': most}
    if not time_left():
        return {**head, 'skipped': 'time_over', 'most': most}
    return {**head, **measure(remedy.name, remedy.overrides), 'most': most}


def saves(trial: Trial) -> bool:
    """Whether a trial was measured to save time: enough of it, and in every round."""
    return trial.get('saving', 0.0) >= LEAST_SAVING and trial['interval'][0] > 0


def winners(trials: Iterable[Trial], allowed: Callable[[Trial], bool]) -> list[Trial]:
    """Return the trials that save time and are allowed, best first."""
    return sorted((trial for trial in trials if saves(trial) and allowed(trial)), key=lambda trial: -trial['saving'])


def combine(
    trials: Sequence[Trial], measure: Measure, allowed: Callable[[Trial], bool] = lambda trial: True
) -> tuple[list[Trial], list[Trial]]:
    """Add the trials in their order to what is kept, as long as each makes it faster.

    A remedy that sets a key that a kept one sets too would replace that one; where the two alone let expect that
    nothing is won, it is not measured.

    Returns:
        The trials that were kept, and a step per trial: of everything together with ``added``, ``parts``, ``replaces``
        (names), ``kept``, and ``interaction``, the time measured over the time that the factors multiply to (1:
        independent); without numbers, ``pruned``, where it was not measured.
    """
    kept: list[Trial] = []
    steps: list[Trial] = []
    best = 0.0
    for trial in trials:
        stay = beside(trial, kept)
        expected = expected_time(trial, kept, best)
        step = step_of([*stay, trial], [each['name'] for each in kept if each not in stay])
        if step['replaces'] and expected >= 1 - best:
            steps.append({**step, 'name': trial['name'], 'kept': False, 'pruned': True})
            continue
        step = measured(step, trial, expected, measure)
        step['kept'] = saves_more(step, best) and allowed(step)
        steps.append(step)
        if step['kept']:
            kept, best = [*stay, trial], step['saving']
    return kept, steps


def beside(trial: Trial, kept: Sequence[Trial]) -> list[Trial]:
    """Return what stays of what is kept when a trial is added: all that does not set a key that it sets too."""
    return [each for each in kept if not clashes(each['overrides'], trial['overrides'])]


def expected_time(trial: Trial, kept: Sequence[Trial], best: float) -> float:
    """Return the share of the default's time that a trial and what stays beside it would take, were they independent.

    Args:
        trial: What is added.
        kept: What there is already.
        best: Share of the time that this was measured to save.
    """
    stay = beside(trial, kept)
    left = 1 - best if len(stay) == len(kept) else math.prod(1 - each['saving'] for each in stay)
    return left * (1 - trial['saving'])


def measured(step: Trial, trial: Trial, expected: float, measure: Measure) -> Trial:
    """Return a step with its numbers; those of the trial that it adds, where that is alone."""
    found = measure('+'.join(step['parts']), step['overrides']) if len(step['parts']) > 1 else trial
    step = {**found, **step}
    if 'saving' in step and expected > 0:
        step['interaction'] = (1 - step['saving']) / expected
    return step


def saves_more(step: Trial, best: float) -> bool:
    """Whether a step saves so much more time than ``best`` that it counts."""
    return 'saving' in step and 1 - step['saving'] < (1 - LEAST_SAVING) * (1 - best)


def step_of(parts: Sequence[Trial], replaces: Sequence[str] = ()) -> Trial:
    """Return the step that adds the last of some trials to the others, without numbers."""
    return {
        'added': parts[-1]['name'],
        'parts': [part['name'] for part in parts],
        'replaces': list(replaces),
        'kind': max((part['kind'] for part in parts), key=KINDS.index),
        'overrides': together(parts),
        'interaction': None,
    }


def settle(
    trials: Sequence[Trial],
    combined: Callable[[Sequence[Trial]], tuple[list[Trial], list[Trial]]],
    quality_of: Callable[[Sequence[Trial]], Difference | None],
    max_loss_db: float,
) -> tuple[list[Trial], list[Trial], Difference | None]:
    """Combine, and take remedies out again until the combination itself loses no more than is allowed.

    Where its quality cannot be told, at most one remedy that changes the network stays, which was measured alone.

    Args:
        trials: What may be taken, each affordable alone.
        combined: See :func:`combine`.
        quality_of: Of several trials together; None where there was no time.
        max_loss_db: Most that they may lose together.

    Returns:
        What was kept, the steps, and the difference in dB of all together; None where that is not known.
    """
    left = list(trials)
    while True:
        kept, steps = combined(left)
        lossy = [trial for trial in kept if trial['kind'] != EXACT]
        found = quality_of(kept) if lossy else None
        known = is_known(found)
        changes = [trial for trial in kept if changes_network(trial)]
        if not lossy or affordable(found, max_loss_db) or (not known and len(changes) < 2):
            return kept, steps, found
        out = min(lossy, key=loss_alone) if known else changes[-1]
        left = [trial for trial in left if trial['name'] != out['name']]


def affordable(found: Difference | None, max_loss_db: float) -> bool:
    """Whether a difference was measured well enough to tell, and loses no more than is allowed."""
    return is_known(found) and -found['mean'] <= max_loss_db


def is_known(found: Difference | None) -> bool:
    """Whether a difference was measured well enough to tell."""
    return bool(found) and found['verdict'] != NOT_INFORMATIVE


def loss_alone(trial: Trial) -> float:
    """Return a trial's difference in dB, 0 where it was not measured."""
    found = trial.get('difference_db')
    return found['mean'] if found and found['mean'] is not None else 0.0


def name_of(parts: Sequence[Trial]) -> str:
    """Return what several trials together are called."""
    return '+'.join(part['name'] for part in parts)


def together(parts: Sequence[Trial]) -> Overrides:
    """Return the overrides of all."""
    return {key: value for part in parts for key, value in part['overrides'].items()}


def clashes(kept: Overrides, added: Overrides) -> bool:
    """Whether both set the same node, or one inside the other, to different values."""
    return any(
        (a == b and kept[a] != added[b]) or a.startswith(f'{b}.') or b.startswith(f'{a}.') for a in kept for b in added
    )


def changes_network(trial: Trial) -> bool:
    """Whether a trial computes another function, whose quality must be known."""
    return trial['kind'] == CHANGES
