"""What records say about a claim of the performance guide: a rule for each kind of claim, and nothing typed by hand.

A claim is a node of benchmarks/guide/claims.yaml. Times are those of a record of ``tools/benchmark.py --stages``, whose
rounds give every saving and share once; qualities are those of a record of ``tools/ablate.py``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HOLDS, IN_PART, FAILS, UNMEASURED = 'holds', 'holds in part', 'does not hold', 'not measured'
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
    """A verdict with the measured values, one per round, or one value with its interval; empty where there are none."""

    verdict: str
    values: tuple[float, ...] = ()


NOTHING = Finding(UNMEASURED)


@dataclass(frozen=True)
class Measurements:
    """What was measured of one network on one device.

    Args:
        plans: Config by the name of a plan or a single change.
        speed: A record of tools/benchmark.py, or None.
        quality: A record of tools/ablate.py whose variants are plans, or None.
    """

    plans: dict[str, str]
    speed: dict[str, Any] | None = None
    quality: dict[str, Any] | None = None

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

    def memory_saving(self, plan: str) -> float | None:
        """Return the share of the baseline's peak memory that a plan saves."""
        peaks = [(self.row(name) or {}).get('peak_memory_mib') for name in (plan, 'baseline')]
        return None if None in peaks else 1 - peaks[0] / peaks[1]

    def quality_difference(self, plan: str) -> dict[str, Any] | None:
        """Return the difference in dB with its interval; None where none was measured or it is not informative."""
        variants = self.quality['variants'] if self.quality else []
        found = next((each['difference_db'] for each in variants if each['name'] == plan), None)
        return found if found and found['verdict'] != 'not informative' else None


def judge(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Return what the measurements say about a claim."""
    return RULES[claim['rule']](claim, measured)


def saving(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the median round saves what was promised, in part where every round saves something.

    Undecided where the rounds scatter too much, or the plan's windows pad the maps too much.
    """
    if claim.get('larger_than', 0) >= (measured.speed or {}).get('shape', [0])[-1]:
        return NOTHING  # what the claim is about changes nothing on clips so small
    values = measured.savings(claim['plan'], claim.get('reference', 'baseline'), claim.get('of'))
    if not values:
        return NOTHING
    padded = padding(measured.speed['shape'][-1], claim['window']) if 'window' in claim else 0.0
    if max(values) - min(values) > MOST_SCATTER or padded > MOST_PADDING:
        return Finding(UNMEASURED, values)
    promised = statistics.median(values) >= claim['expected'][0]
    return Finding(HOLDS if promised else IN_PART if min(values) > 0 else FAILS, values)


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


def memory(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the peak is lower by a hundredth or more."""
    value = measured.memory_saving(claim['plan'])
    if value is None:
        return NOTHING
    return Finding(HOLDS if value >= LEAST_MEMORY_SAVING else FAILS, (value,))


def loss(claim: dict[str, Any], measured: Measurements) -> Finding:
    """Holds where the whole interval loses no more than was allowed, in part where the mean does not."""
    found = measured.quality_difference(claim['plan'])
    if found is None:
        return NOTHING
    allowed = -claim['expected'][1]
    verdict = HOLDS if found['low'] >= allowed else IN_PART if found['mean'] >= allowed else FAILS
    return Finding(verdict, (found['low'], found['mean'], found['high']))


RULES: dict[str, Callable[[dict[str, Any], Measurements], Finding]] = {
    rule.__name__: rule for rule in (saving, share, largest, potential, memory, loss)
}
