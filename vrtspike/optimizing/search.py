"""One remedy at a time, then together: what is worth measuring, and what to keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vrtspike.optimizing.remedies import CHANGES, Overrides, Remedy

LEAST_SAVING = 0.02
"""What saves less of the time is called nothing: repeated measurements differ by as much."""

Trial = dict[str, Any]
"""``name``, ``kind``, ``overrides``; ``saving`` (share of the default's time), ``interval`` of it, ``ms_per_sample``,
``peak_memory_mib``, ``gmacs``, ``predicted_saving``; or ``skipped`` and why, or ``failure``."""

Measure = Callable[[str, Overrides], Trial]


def try_singly(
    remedies: Sequence[Remedy], shares: Mapping[str, float], measure: Measure, time_left: Callable[[], bool]
) -> list[Trial]:
    """Measure every remedy alone, those that may save most first within their kind.

    What cannot be tried, cannot save :data:`LEAST_SAVING`, or would begin after the time is over is listed with the
    reason in place of numbers.
    """
    order = {kind: i for i, kind in enumerate(dict.fromkeys(remedy.kind for remedy in remedies))}
    ordered = sorted(remedies, key=lambda remedy: (order[remedy.kind], -remedy.most(shares)))
    return [tried(remedy, shares, measure, time_left) for remedy in ordered]


def tried(remedy: Remedy, shares: Mapping[str, float], measure: Measure, time_left: Callable[[], bool]) -> Trial:
    """Return the trial of one remedy, or why there is none."""
    head = {'name': remedy.name, 'kind': remedy.kind, 'overrides': remedy.overrides}
    most = remedy.most(shares) if shares else 1.0
    if remedy.missing:
        return {**head, 'skipped': remedy.missing}
    if most < LEAST_SAVING:
        return {**head, 'skipped': f'what it concerns takes {most:.1%} of the iteration'}
    if not time_left():
        return {**head, 'skipped': 'the time was over'}
    return {**head, **measure(remedy.name, remedy.overrides), 'most': most}


def winners(trials: Sequence[Trial], allowed: Callable[[Trial], bool]) -> list[Trial]:
    """Return the trials that save time and are allowed, best first."""
    found = [trial for trial in trials if trial.get('saving', 0) >= LEAST_SAVING and allowed(trial)]
    return sorted(found, key=lambda trial: -trial['saving'])


def combine(trials: Sequence[Trial], measure: Measure, time_left: Callable[[], bool]) -> tuple[Overrides, list[Trial]]:
    """Add the trials, best first, to what is kept as long as each makes it faster.

    Two remedies that set the same key exclude each other: the better one stays.

    Returns:
        The overrides that were kept, and a step per remedy: a trial of everything together with ``added``, ``kept``,
        and ``interaction``, the time measured over the time that the single factors multiply to (1: independent).
    """
    kept: Overrides = {}
    steps: list[Trial] = []
    best, factor = 0.0, 1.0
    for trial in trials:
        if clashes(kept, trial['overrides']) or not time_left():
            continue
        together = {**kept, **trial['overrides']}
        expected = factor * (1 - trial['saving'])
        step = measure(f'with_{trial["name"]}', together) if kept else trial
        if 'saving' not in step:
            steps.append({**step, 'added': trial['name'], 'kept': False, 'interaction': None})
            continue
        is_better = step['saving'] > best + LEAST_SAVING * (1 - best)
        interaction = (1 - step['saving']) / expected if expected > 0 else math.nan
        steps.append({**step, 'overrides': together, 'added': trial['name'], 'kept': is_better,
                      'interaction': interaction})  # fmt: skip
        if is_better:
            kept, best, factor = together, step['saving'], 1 - step['saving']
    return kept, steps


def clashes(kept: Overrides, added: Overrides) -> bool:
    """Whether both set the same node, or one inside the other, to different values."""
    return any(
        (a == b and kept[a] != added[b]) or a.startswith(f'{b}.') or b.startswith(f'{a}.') for a in kept for b in added
    )


def changes_network(trial: Trial) -> bool:
    """Whether a trial computes another function, whose quality must be known."""
    return trial['kind'] == CHANGES
