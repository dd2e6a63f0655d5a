"""What records say about a claim of the performance guide: a rule for each kind of claim, and nothing typed by hand.

A claim is a node of benchmarks/guide/claims.yaml; ``writers.guide_records`` reads what was measured. Rounds, or seeds,
give every saving and share once.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vrtspike.experiments.statistics import LEAST_GAIN_DB, NOT_INFORMATIVE

HOLDS, IN_PART, FAILS, UNDECIDED, UNMEASURED = 'holds', 'holds in part', 'does not hold', 'undecided', 'not measured'
VERDICTS = (HOLDS, IN_PART, FAILS, UNDECIDED)
SHARE_TOLERANCE = 0.25
"""How far a measured share may be from the claimed one, relative to it."""
MOST_SCATTER = 0.2
"""How far savings of different rounds may lie apart and still decide: beyond, the machine was too busy."""
MOST_PADDING = 0.05
"""How much a plan's windows may enlarge the maps that were measured: beyond, the size decides and not the plan."""
LEAST_MEMORY_SAVING = 0.01
"""What counts as lower memory: less than this comes and goes between processes."""


@dataclass(frozen=True)
class Finding:
    """A verdict with what was measured; empty where nothing was.

    Args:
        verdict: One of the words above.
        values: Shares, one per round.
        decibels: Low end, mean and high end of a difference in quality.
        steps: How many were lost at the highest initial loss scale, at the lowest, and of how many.
        reference_gain_db: What the reference gained over the blurred input, where that was too little to train more.
    """

    verdict: str
    values: tuple[float, ...] = ()
    decibels: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    reference_gain_db: float | None = None


NOTHING = Finding(UNMEASURED)


@dataclass(frozen=True)
class Measurements:
    """What was measured of one network on one device.

    Args:
        plans: Config by the name of a plan or a single change.
        speed: A record of tools/benchmark.py, or None.
        savings_of: Shares of the time that other single changes save, one per round or seed, by name.
        differences: In dB by the name of a plan or change, as ``vrtspike.experiments.statistics.compare`` gives, with
            ``reference_gain_db``, the least of the reference's seeds.
        peaks: Peak memory in MiB of other batches, by name; the baseline's is among them.
        lost_steps: By initial loss scale.
        iterations: Of how many steps these were lost.
    """

    plans: dict[str, str]
    speed: dict[str, Any] | None = None
    savings_of: dict[str, tuple[float, ...]] = field(default_factory=dict)
    differences: dict[str, dict[str, Any]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    lost_steps: dict[float, int] = field(default_factory=dict)
    iterations: int = 0

    def row(self, plan: str) -> dict[str, Any] | None:
        """Return the record's row of a plan; None where it has none."""
        rows = self.speed['rows'] if self.speed else []
        return next((row for row in rows if row['config'] == self.plans.get(plan)), None)

    def times(self, plan: str, of: list[str] | None = None, key: str = 'total_ms') -> list[float] | None:
        """Return the milliseconds of each round: of the step, or of some stages or ``/parts`` together."""
        row = self.row(plan)
        if row is None or (of and 'stages' not in row):
            return None
        if not of:
            return row['times_ms']
        rounds = [0.0] * len(row['times_ms'])
        for name in of:
            found = row['parts'].get(name[1:]) if name.startswith('/') else row['stages'].get(name)
            if found:  # a network without the stage spends nothing there
                rounds = [sum(pair) for pair in zip(rounds, found[key], strict=True)]
        return rounds

    def savings(self, plan: str, reference: str = 'baseline', of: list[str] | None = None) -> tuple[float, ...]:
        """Return what each round saved of the reference's time; empty where either was not measured."""
        if plan in self.savings_of:
            return self.savings_of[plan]
        times, slower = self.times(plan, of), self.times(reference, of)
        if times is None or slower is None or plan == reference or not min(slower):
            return ()
        return tuple(1 - fast / slow for fast, slow in zip(times, slower, strict=True))

    def shares(self, of: list[str], key: str, plan: str = 'baseline') -> tuple[float, ...]:
        """Return the share of each round's ``forward_ms`` or ``total_ms`` that some stages take."""
        times, row = self.times(plan, of, key), self.row(plan)
        if times is None:
            return ()
        wholes = [sum(stage[key][i] for stage in row['stages'].values()) for i in range(len(times))]
        return tuple(time / whole for time, whole in zip(times, wholes, strict=True))

    def stages_by_share(self, key: str = 'forward_ms') -> dict[str, tuple[float, ...]]:
        """Return the shares of the baseline's stages, the largest first."""
        row = self.row('baseline') or {}
        shares = {name: self.shares([name], key) for name in row.get('stages', {})}
        return dict(sorted(shares.items(), key=lambda item: -statistics.median(item[1])))

    def memory_saving(self, plan: str, reference: str = 'baseline') -> float | None:
        """Return the share of the reference's peak memory that a plan saves, negative where it takes more."""
        if plan in self.peaks:
            found = [self.peaks[plan], self.peaks.get(reference)]
        else:
            found = [(self.row(name) or {}).get('peak_memory_mib') for name in (plan, reference)]
        return None if None in found else 1 - found[0] / found[1]


def judge(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Return what the measurements say about a claim."""
    return RULES[claim['rule']](claim, measured)


def saving(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the median round saves what was promised, in part where every round saves something.

    Undecided where the rounds scatter too much, or the plan's windows pad the maps too much, or the median saves what
    was promised and not every round saves anything.
    """
    if 'larger_than' in claim and (not measured.speed or measured.speed['shape'][-1] <= claim['larger_than']):
        return NOTHING  # what the claim is about changes nothing on clips so small
    values = measured.savings(claim['plan'], claim.get('reference', 'baseline'), claim.get('of'))
    if not values:
        return NOTHING
    padded = padding(measured.speed['shape'][-1], claim['window']) if 'window' in claim else 0.0
    if max(values) - min(values) > MOST_SCATTER or padded > MOST_PADDING:
        return Finding(UNDECIDED, values)
    promised, in_every_round = statistics.median(values) >= claim['expected'][0], min(values) > 0
    if promised:
        return Finding(HOLDS if in_every_round else UNDECIDED, values)
    return Finding(IN_PART if in_every_round else FAILS, values)


def padding(side: int, window: int) -> float:
    """Return by how much whole windows enlarge a square map.

    >>> padding(16, 6)
    0.265625
    """
    return (-(-side // window) * window / side) ** 2 - 1


def share(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the median forward share is the claimed one within a quarter, in part within a factor of two."""
    values = measured.shares(claim['of'], 'forward_ms')
    if not values:
        return NOTHING
    ratio = statistics.median(values) / claim['expected']
    near = abs(ratio - 1) <= SHARE_TOLERANCE
    return Finding(HOLDS if near else IN_PART if 0.5 <= ratio <= 2 else FAILS, values)


def largest(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where exactly the claimed stages have the largest forward shares, in part where some of them do."""
    ranked = measured.stages_by_share()
    if not ranked:
        return NOTHING
    common = set(list(ranked)[: len(claim['of'])]) & set(claim['of'])
    verdict = HOLDS if len(common) == len(claim['of']) else IN_PART if common else FAILS
    return Finding(verdict, measured.shares(claim['of'], 'forward_ms'))


def potential(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the stages take at least as much of the step as is to be saved in them, in part from half of it."""
    values = measured.shares(claim['of'], 'total_ms')
    if not values:
        return NOTHING
    ratio = statistics.median(values) / claim['expected']
    return Finding(HOLDS if ratio >= 1 else IN_PART if ratio >= 0.5 else FAILS, values)


def shortening(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the median training is shorter and its quality no lower on the mean, in part where it is shorter.

    Undecided where the quality is not informative.
    """
    values, found = measured.savings(claim['plan']), measured.differences.get(claim['plan'])
    if not values or not found or None in ends(found):
        return NOTHING
    shorter = statistics.median(values) > 0
    verdict = FAILS if not shorter else HOLDS if found['mean'] >= 0 else IN_PART
    undecided = found['verdict'] == NOT_INFORMATIVE
    return Finding(UNDECIDED if undecided else verdict, values, ends(found))


def memory(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the peak is lower than the reference's by a hundredth or more."""
    value = measured.memory_saving(claim['plan'], claim.get('reference', 'baseline'))
    if value is None:
        return NOTHING
    return Finding(HOLDS if value >= LEAST_MEMORY_SAVING else FAILS, (value,))


def room(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the larger batch takes no more than the baseline's, a hundredth apart at most."""
    value = measured.memory_saving(claim['plan'])
    if value is None:
        return NOTHING
    return Finding(HOLDS if value > -LEAST_MEMORY_SAVING else FAILS, (value,))


def loss(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the whole interval loses no more than was allowed, in part where the mean does not.

    Undecided where the difference is not informative, be it that the reference gained too little to train the plan.
    """
    found = measured.differences.get(claim['plan'])
    if left_untrained(found):
        return Finding(UNDECIDED, reference_gain_db=found['reference_gain_db'])
    if not found or None in ends(found):
        return NOTHING
    allowed = -claim['expected'][1]
    verdict = HOLDS if found['low'] >= allowed else IN_PART if found['mean'] >= allowed else FAILS
    return Finding(UNDECIDED if found['verdict'] == NOT_INFORMATIVE else verdict, decibels=ends(found))


def left_untrained(difference: dict[str, Any] | None) -> bool:
    """Whether the plan was not trained because the reference gained too little for a difference to count."""
    if not difference or difference['seeds']:
        return False
    gain = difference.get('reference_gain_db')
    return gain is not None and gain < LEAST_GAIN_DB


def ends(difference: dict[str, Any]) -> tuple[float, float, float]:
    """Return low end, mean and high end."""
    return difference['low'], difference['mean'], difference['high']


def steadied(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the lowest initial loss scale loses fewer steps than the highest.

    Undecided where none is lost at all: there is nothing to steady.
    """
    if len(measured.lost_steps) < 2:
        return NOTHING
    before, after = measured.lost_steps[max(measured.lost_steps)], measured.lost_steps[min(measured.lost_steps)]
    verdict = HOLDS if after < before else FAILS if before or after else UNDECIDED
    return Finding(verdict, steps=(before, after, measured.iterations))


RULES: dict[str, Callable[[dict[str, Any], Measurements], Finding]] = {
    rule.__name__: rule for rule in (saving, share, largest, potential, shortening, memory, room, loss, steadied)
}
