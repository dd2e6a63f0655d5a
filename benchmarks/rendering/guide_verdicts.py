"""What records say about a claim of the performance guide: one rule for each kind of claim.

A claim is a node of benchmarks/guide/claims.yaml; ``rendering.guide_records`` reads what was measured. Savings and
shares have one value per round, or per seed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import msgspec

from vrtspike.experiments.statistics import LEAST_GAIN_DB, NOT_INFORMATIVE

HOLDS, IN_PART, FAILS, UNDECIDED, UNMEASURED = 'holds', 'holds in part', 'does not hold', 'undecided', 'not measured'
VERDICTS = (HOLDS, IN_PART, FAILS, UNDECIDED)
SHARE_TOLERANCE = 0.25
"""How far a measured share may be from the claimed one, relative to it."""
MOST_SCATTER = 0.2
"""How far apart the savings of different rounds may lie and still decide; beyond it the machine was too busy."""
MOST_PADDING = 0.05
"""How much a plan's windows may enlarge the measured maps; beyond it the size decides, not the plan."""
LEAST_MEMORY_SAVING = 0.01
"""The least that counts as lower memory; peaks of two processes differ by less."""

Claim = dict[str, Any]


class Finding(msgspec.Struct, frozen=True):
    """A verdict with what was measured; empty where nothing was.

    Args:
        verdict: One of the words above.
        values: Shares, one per round.
        decibels: Low end, mean and high end of a difference in quality.
        steps: Steps lost at the highest initial loss scale, at the lowest, and the number of all steps.
        reference_gain_db: The reference's gain over the blurred input, where it was too small to train anything else.
    """

    verdict: str
    values: tuple[float, ...] = ()
    decibels: tuple[float, ...] = ()
    steps: tuple[int, ...] = ()
    reference_gain_db: float | None = None

    @property
    def waits_for_training(self) -> bool:
        """Whether a claim about quality needs a longer training of its baseline."""
        return self.reference_gain_db is not None


NOTHING = Finding(UNMEASURED)


class Measurements(msgspec.Struct, frozen=True):
    """What was measured of one network on one device.

    Args:
        plans: Config by the name of a plan or a single change.
        speed: A record of tools/benchmark.py, or None.
        savings_of: Shares of the time that other single changes save, one per round or seed, by name.
        differences: In dB by the name of a plan or change, as ``vrtspike.experiments.statistics.compare`` gives, with
            ``reference_gain_db``, the smallest of the reference's seeds.
        peaks: Peak memory in MiB of other batches by name, the baseline's among them.
        lost_steps: By initial loss scale.
        iterations: The number of steps that these were lost of.
    """

    plans: dict[str, str]
    speed: dict[str, Any] | None = None
    savings_of: dict[str, tuple[float, ...]] = {}
    differences: dict[str, dict[str, Any]] = {}
    peaks: dict[str, float] = {}
    lost_steps: dict[float, int] = {}
    iterations: int = 0

    def row(self, plan: str) -> dict[str, Any] | None:
        """Return the record's row of a plan; None where it has none."""
        rows = self.speed['rows'] if self.speed else []
        return next((row for row in rows if row['config'] == self.plans.get(plan)), None)

    def times(self, plan: str, of: list[str] | None = None, key: str = 'total_ms') -> list[float] | None:
        """Return each round's milliseconds: of the step, or of some stages or ``/parts`` together."""
        row = self.row(plan)
        if row is None or (of and 'stages' not in row):
            return None
        if not of:
            return row['times_ms']
        nothing = {key: [0.0] * len(row['times_ms'])}  # a network without the stage spends no time there
        known = row['stages'] | {f'/{name}': part for name, part in row['parts'].items()}
        return [sum(times) for times in zip(*(known.get(name, nothing)[key] for name in of), strict=True)]

    def savings(self, plan: str, reference: str = 'baseline', of: list[str] | None = None) -> tuple[float, ...]:
        """Return what each round saved of the reference's time; empty where either was not measured."""
        if plan in self.savings_of:
            return self.savings_of[plan]
        times, slower = self.times(plan, of), self.times(reference, of)
        if times is None or slower is None or plan == reference or not min(slower):
            return ()
        return savings_of_pairs(slower, times)

    def shares(self, of: list[str], key: str, plan: str = 'baseline') -> tuple[float, ...]:
        """Return the share of each round's ``forward_ms`` or ``total_ms`` that some stages take."""
        times, row = self.times(plan, of, key), self.row(plan)
        if times is None:
            return ()
        totals = [sum(stage[key][i] for stage in row['stages'].values()) for i in range(len(times))]
        return tuple(time / total for time, total in zip(times, totals, strict=True))

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

    def quality(self, plan: str) -> str | tuple[float, float, float]:
        """Return low end, mean and high end of a plan's difference in dB, or why there is none."""
        found = self.differences.get(plan)
        if not found or not (found['seeds'] or was_left_untrained(found)):
            return UNMEASURED
        return NOT_INFORMATIVE if found['verdict'] == NOT_INFORMATIVE else ends(found)


def judge(claim: Claim, measured: Measurements) -> Finding:
    """Return what the measurements say about a claim."""
    return RULES[claim['rule']](claim, measured)


def saving(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the median round saves what was promised, in part where every round saves something.

    Undecided where the rounds scatter too much, where the plan's windows pad the maps too much, and where the median
    saves what was promised but some round saves nothing.
    """
    side = measured.speed['shape'][-1] if measured.speed else 0
    if side <= claim.get('larger_than', -1):
        return NOTHING  # the change has no effect on clips so small
    values = measured.savings(claim['plan'], claim.get('reference', 'baseline'), claim.get('of'))
    if not values:
        return NOTHING
    padded = padding(side, claim['window']) if 'window' in claim else 0.0
    if max(values) - min(values) > MOST_SCATTER or padded > MOST_PADDING:
        return Finding(UNDECIDED, values)
    promised, in_every_round = statistics.median(values) >= claim['expected'][0], min(values) > 0
    if promised and not in_every_round:
        return Finding(UNDECIDED, values)
    return Finding(grade(promised, in_every_round), values)


def share(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the median forward share is within a quarter of the claimed one, in part within a factor of two."""
    values = measured.shares(claim['of'], 'forward_ms')
    if not values:
        return NOTHING
    ratio = statistics.median(values) / claim['expected']
    return Finding(grade(abs(ratio - 1) <= SHARE_TOLERANCE, 0.5 <= ratio <= 2), values)


def largest(claim: Claim, measured: Measurements) -> Finding:
    """Holds where exactly the claimed stages have the largest forward shares, in part where some of them do."""
    ranked = measured.stages_by_share()
    if not ranked:
        return NOTHING
    count = len(claim['of'])
    found = set(list(ranked)[:count]) & set(claim['of'])
    return Finding(grade(len(found) == count, bool(found)), measured.shares(claim['of'], 'forward_ms'))


def potential(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the stages take as much of the step as the claim wants to save in them, in part from half of it."""
    values = measured.shares(claim['of'], 'total_ms')
    if not values:
        return NOTHING
    ratio = statistics.median(values) / claim['expected']
    return Finding(grade(ratio >= 1, ratio >= 0.5), values)


def shortening(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the median training is shorter and its mean quality no lower, in part where it is shorter.

    Undecided where the quality is not informative.
    """
    values, found = measured.savings(claim['plan']), measured.differences.get(claim['plan'])
    if not values or not found or None in ends(found):
        return NOTHING
    shorter = statistics.median(values) > 0
    verdict = UNDECIDED if found['verdict'] == NOT_INFORMATIVE else grade(shorter and found['mean'] >= 0, shorter)
    return Finding(verdict, values, ends(found))


def memory(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the peak is lower than the reference's by a hundredth or more."""
    value = measured.memory_saving(claim['plan'], claim.get('reference', 'baseline'))
    return NOTHING if value is None else Finding(grade(value >= LEAST_MEMORY_SAVING), (value,))


def room(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the larger batch takes less than a hundredth more than the baseline's."""
    value = measured.memory_saving(claim['plan'])
    return NOTHING if value is None else Finding(grade(value > -LEAST_MEMORY_SAVING), (value,))


def loss(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the whole interval loses no more than was allowed, in part where the mean does not.

    Undecided where the difference is not informative, also because the reference gained too little to train the plan.
    """
    found = measured.differences.get(claim['plan'])
    if was_left_untrained(found):
        return Finding(UNDECIDED, reference_gain_db=found['reference_gain_db'])
    if not found or None in ends(found):
        return NOTHING
    allowed = -claim['expected'][1]
    verdict = grade(found['low'] >= allowed, found['mean'] >= allowed)
    return Finding(UNDECIDED if found['verdict'] == NOT_INFORMATIVE else verdict, decibels=ends(found))


def steadied(claim: Claim, measured: Measurements) -> Finding:
    """Holds where the lowest initial loss scale loses fewer steps than the highest; undecided where none is lost."""
    if len(measured.lost_steps) < 2:
        return NOTHING
    before, after = (measured.lost_steps[scale] for scale in (max(measured.lost_steps), min(measured.lost_steps)))
    verdict = grade(after < before) if before or after else UNDECIDED
    return Finding(verdict, steps=(before, after, measured.iterations))


def grade(holds: bool, in_part: bool = False) -> str:
    return HOLDS if holds else IN_PART if in_part else FAILS


def padding(side: int, window: int) -> float:
    """Return by how much whole windows enlarge a square map.

    >>> padding(16, 6)
    0.265625
    """
    return (-(-side // window) * window / side) ** 2 - 1


def savings_of_pairs(before: list[float], after: list[float]) -> tuple[float, ...]:
    return tuple(1 - fast / slow for slow, fast in zip(before, after, strict=True))


def was_left_untrained(difference: dict[str, Any] | None) -> bool:
    """Whether the plan was not trained because the reference gained too little for a difference to count."""
    gain = difference and not difference['seeds'] and difference.get('reference_gain_db')
    return isinstance(gain, float) and gain < LEAST_GAIN_DB


def ends(difference: dict[str, Any]) -> tuple[float, float, float]:
    """Return low end, mean and high end."""
    return difference['low'], difference['mean'], difference['high']


RULES: dict[str, Callable[[Claim, Measurements], Finding]] = {
    rule.__name__: rule for rule in (saving, share, largest, potential, shortening, memory, room, loss, steadied)
}
