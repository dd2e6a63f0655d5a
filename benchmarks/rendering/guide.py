"""The performance guide, the records about it, and a verdict on each of its claims: one rule for each kind of claim.

The records are benchmarks/records/guide/*.json and those in ``ELSEWHERE``. A record belongs to the network whose
baseline is its first config. Savings and shares have one value per round, or per seed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from vrtspike.errors import VrtSpikeError
from vrtspike.experiments.statistics import LEAST_GAIN_DB, NOT_INFORMATIVE, Difference, compare

ELSEWHERE = (
    'training/progressive.json',
    'training/amp_overflow.json',
    'optimize/tiny.json',
)
QUALITY_KINDS = ('quality', 'progressive')
"""Kinds of records with a difference in quality, which is the network's on any device."""
KINDS = ('configs', 'memory', 'search', 'overflow', *QUALITY_KINDS)
KIND_OF_KEY = {'variants': 'quality', 'trials': 'search', 'runs': 'overflow'}
"""Keys that only a record of that kind has; the others name their kind."""

HOLDS, IN_PART, FAILS, UNDECIDED, UNMEASURED = 'holds', 'holds in part', 'does not hold', 'undecided', 'not measured'
SHARE_TOLERANCE = 0.25  # largest distance of a measured share from the claimed one, relative to it
MOST_SCATTER = (
    0.2  # largest distance between the savings of two rounds that decides; beyond it the machine was too busy
)
MOST_PADDING = 0.05  # largest enlargement of the maps by a plan's windows; beyond it the size decides, not the plan
LEAST_MEMORY_SAVING = 0.01  # the least that counts as lower memory; peaks of two processes differ by less

Shares = tuple[float, ...]


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim of the guide; benchmarks/guide/claims.yaml explains the fields."""

    network: str
    rule: str
    en: str = ''
    zh: str = ''
    plan: str = ''
    reference: str = 'baseline'
    of: list[str] = []
    expected: float | list[float] | None = None
    larger_than: int = -1
    window: int = 0


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the guide's own table: its name in both languages, and what the guide promises."""

    en: str
    zh: str
    ms: list[float]
    saves: list[float] = []
    loses_db: list[float] = []
    memory: str = 'not stated'


class Claims(msgspec.Struct, frozen=True):
    """The guide as benchmarks/guide/claims.yaml has it."""

    networks: dict[str, dict[str, str]]
    plans: dict[str, Plan]
    claims: list[Claim]


class Finding(msgspec.Struct, frozen=True):
    """A verdict and the measured values behind it.

    Args:
        verdict: One of the words above.
        values: Shares, one per round.
        difference: In quality.
        steps: Steps lost at the highest initial loss scale, at the lowest, and the number of all steps.
        reference_gain_db: The reference's gain over the blurred input, if it was too small to train anything else.
    """

    verdict: str
    values: Shares = ()
    difference: Difference | None = None
    steps: tuple[int, ...] = ()
    reference_gain_db: float | None = None


NOTHING = Finding(UNMEASURED)


class GuideRecord(msgspec.Struct, frozen=True):
    """A record: its path in the checkout, its kind, its network and its content."""

    path: str
    kind: str
    network: str
    found: dict[str, Any]

    @property
    def device(self) -> str:
        """The device's name. The number of threads makes no other device: all values are ratios within a record."""
        return self.found['device']['name']


class Score(msgspec.Struct, frozen=True):
    """What a training reached: PSNR, and the gain over the blurred input."""

    psnr_db: float
    gain_db: float


class Measurements(msgspec.Struct):
    """What was measured of one network on one device.

    Args:
        plans: Config by the name of a plan or a single change.
        speed: A record of tools/benchmark.py, or None.
        savings_of: Shares of the time that other single changes save, by name.
        differences: In quality from the baseline, by the name of a plan or change.
        scores: Of the trainings behind them: PSNR and gain in dB by seed, by name.
        reference_gain_db: Smallest gain of the reference's seeds in the record of the plans' quality.
        peaks: Peak memory in MiB of other batches by name, the baseline's among them.
        lost_steps: By initial loss scale.
        iterations: The number of steps of which these were lost.
    """

    plans: dict[str, str]
    speed: dict[str, Any] | None = None
    savings_of: dict[str, Shares] = {}
    differences: dict[str, Difference] = {}
    scores: dict[str, dict[int, Score]] = {}
    reference_gain_db: float | None = None
    peaks: dict[str, float] = {}
    lost_steps: dict[float, int] = {}
    iterations: int = 0

    def row(self, plan: str) -> dict[str, Any]:
        """Return the record's row of a plan, empty if it has none."""
        rows = self.speed['rows'] if self.speed else []
        return next((row for row in rows if row['config'] == self.plans.get(plan)), {})

    def times(self, plan: str, of: Sequence[str] = (), key: str = 'total_ms') -> list[float]:
        """Return each round's milliseconds: of the step, or of several stages or ``/parts`` together."""
        row = self.row(plan)
        if not row or (of and 'stages' not in row):
            return []
        if not of:
            return row['times_ms']
        nothing = {key: [0.0] * len(row['times_ms'])}  # a network without the stage spends no time there
        known = row['stages'] | {f'/{name}': part for name, part in row['parts'].items()}
        return [sum(times) for times in zip(*(known.get(name, nothing)[key] for name in of), strict=True)]

    def savings(self, plan: str, reference: str = 'baseline', of: Sequence[str] = ()) -> Shares:
        """Return what each round saved of the reference's time; empty if either was not measured."""
        if plan in self.savings_of:
            return self.savings_of[plan]
        times, slower = self.times(plan, of), self.times(reference, of)
        return savings_of_pairs(slower, times) if times and slower and plan != reference and min(slower) else ()

    def shares(self, of: Sequence[str], key: str) -> Shares:
        """Return the share of each round's ``forward_ms`` or ``total_ms`` of the baseline that several stages take."""
        times = self.times('baseline', of, key)
        totals = zip(*(stage[key] for stage in self.row('baseline')['stages'].values()), strict=True) if times else ()
        return tuple(time / sum(total) for time, total in zip(times, totals, strict=True))

    def stages_by_share(self) -> dict[str, Shares]:
        """Return the forward shares of the baseline's stages, the largest first."""
        shares = {name: self.shares([name], 'forward_ms') for name in self.row('baseline').get('stages', {})}
        return dict(sorted(shares.items(), key=lambda item: -median(item[1])))

    def memory_saving(self, plan: str, reference: str = 'baseline') -> float | None:
        """Return the share of the reference's peak memory that a plan saves, negative if it takes more."""
        peaks = self.peaks if plan in self.peaks else {n: self.row(n).get('peak_memory_mib') for n in (plan, reference)}
        known = peaks[plan] is not None and peaks.get(reference) is not None
        return 1 - peaks[plan] / peaks[reference] if known else None

    def difference(self, plan: str, reference: str = 'baseline') -> Difference | None:
        """Return a plan's difference in quality from the baseline, or from another plan that was trained."""
        if reference == 'baseline':
            return self.differences.get(plan)
        if not {plan, reference} <= self.scores.keys():
            return None
        psnr, compared = (
            {seed: score.psnr_db for seed, score in self.scores[name].items()} for name in (plan, reference)
        )
        return compare(psnr, compared, {seed: score.gain_db for seed, score in self.scores[reference].items()})

    def quality(self, plan: str) -> str | Difference:
        """Return a plan's difference in quality, or why there is none."""
        found = self.differences.get(plan)
        if not found or not (found.seeds or self.was_left_untrained(plan)):
            return UNMEASURED
        return NOT_INFORMATIVE if found.verdict == NOT_INFORMATIVE else found

    def was_left_untrained(self, plan: str) -> bool:
        """Return whether a plan was not trained because the reference gained too little."""
        found, gain = self.differences.get(plan), self.reference_gain_db
        return found is not None and not found.seeds and gain is not None and gain < LEAST_GAIN_DB


class ClaimRow(msgspec.Struct, frozen=True):
    """A claim and a finding on it; the device is empty if it does not matter."""

    claim: Claim
    device: str
    finding: Finding


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """The guide and the records about it.

    Args:
        plans: The plans of its table, by name.
        claims: The number of its claims.
        rows: Every claim, once for each device with a finding.
        records: All records.
        measured: What they measured, by device and network.
    """

    plans: dict[str, Plan]
    claims: int
    rows: list[ClaimRow]
    records: list[GuideRecord]
    measured: dict[str, dict[str, Measurements]]

    def timed(self, network: str) -> dict[str, Measurements]:
        """Return a network's measurements by device with timed plans; if there is none, those of one device, ''."""
        networks = {device: found[network] for device, found in self.measured.items()}
        found = {device: measured for device, measured in networks.items() if measured.speed}
        return found or {'': next(iter(networks.values()))}

    def copied_quality(self, plan: str) -> str | Difference:
        """Return a plan's difference in quality on the narrow copy, or why there is none."""
        return next(iter(self.measured.values()))['narrow'].quality(plan)

    def claimed_shares(self) -> dict[str, float]:
        """Return the shares of the forward pass that the guide names, by stage of its own network."""
        return {row.claim.of[0]: row.claim.expected for row in self.rows if row.claim.rule == 'share'}


def read_guide(root: Path) -> Guide:
    """Return what the records of a checkout say about the guide."""
    read = msgspec.yaml.decode((root / 'benchmarks/guide/claims.yaml').read_bytes(), type=Claims)
    records = read_guide_records(root, read.networks)
    devices = dict.fromkeys(record.device for record in records if record.kind != 'quality') or ['']
    measured = {
        device: {
            name: measure(plans, [record for record in records if record.network == name], device)
            for name, plans in read.networks.items()
        }
        for device in devices
    }
    rows = [row for claim in read.claims for row in claim_rows(claim, measured)]
    return Guide(plans=read.plans, claims=len(read.claims), rows=rows, records=records, measured=measured)


def claim_rows(claim: Claim, measured: dict[str, dict[str, Measurements]]) -> list[ClaimRow]:
    """Return the findings on a claim; quality alone does not depend on the device and has one row."""
    found = {device: judge(claim, networks[claim.network]) for device, networks in measured.items()}
    known = {device: finding for device, finding in found.items() if finding != NOTHING}
    rows = {device if finding.values or finding.steps else '': finding for device, finding in known.items()}
    return [ClaimRow(claim, *each) for each in (rows or {'': NOTHING}).items()]


def read_guide_records(root: Path, networks: dict[str, dict[str, str]]) -> list[GuideRecord]:
    """Return all records.

    Raises:
        VrtSpikeError: One is of no known kind, of no network, or the second of its kind.
    """
    folder = root / 'benchmarks/records'
    records: dict[tuple[str, str, str], GuideRecord] = {}
    for path in filter(
        Path.is_file, [*sorted((folder / 'guide').glob('*.json')), *(folder / name for name in ELSEWHERE)]
    ):
        found = json.loads(path.read_text(encoding='utf-8'))
        kind = (
            found.get('recipe')
            or found.get('kind')
            or next((KIND_OF_KEY[key] for key in KIND_OF_KEY if key in found), '')
        )
        if kind not in KINDS:
            raise VrtSpikeError(f'{path}: a record of kind {kind!r}; expected one of {", ".join(KINDS)}')
        config = found.get('rows', [{}])[0].get('config') or found.get('config_path')
        config = config or found.get('settings', found)['config']
        network = next((name for name, plans in networks.items() if plans['baseline'] == config), None)
        if network is None:
            raise VrtSpikeError(
                f'{path}: its first config is {config}, expected the baseline of a network in claims.yaml'
            )
        record = GuideRecord(path.relative_to(root).as_posix(), kind, network, found)
        where = 'any device' if kind in QUALITY_KINDS else record.device
        key = (kind, network, record.path if kind == 'quality' else where)  # records of quality share no plan instead
        if key in records:
            raise VrtSpikeError(f'{path}: the second record of its kind of {network} on {key[-1]}; keep one')
        records[key] = record
    return list(records.values())


def measure(plans: dict[str, str], records: Sequence[GuideRecord], device: str) -> Measurements:
    """Return what the records of a network say about a device."""
    measured = Measurements(plans)
    for record in records:
        found, here = record.found, record.device == device
        match record.kind:
            case 'quality':
                reference, *others = found['variants']
                measured.reference_gain_db = min((run['gain_db'] for run in reference['runs']), default=None)
                differences = {each['name']: each['difference_db'] for each in others}
                if known := measured.differences.keys() & differences.keys():
                    raise VrtSpikeError(f'{record.path}: {", ".join(sorted(known))} has another record; keep one')
                measured.differences |= msgspec.convert(differences, dict[str, Difference])
                measured.scores |= {
                    each['name']: {run['seed']: Score(run['psnr_db'], run['gain_db']) for run in each['runs']}
                    for each in others
                }
            case 'configs' if here:
                measured.speed = found
            case 'memory' if here:
                measured.peaks = {row['name']: row['peak_memory_mib'] for row in found['rows']}
            case 'search' if here:
                times = {trial['name']: trial['times_ms'] for trial in found['trials'] if 'times_ms' in trial}
                measured.savings_of |= {
                    name: savings_of_pairs(ms['default'], ms['changed']) for name, ms in times.items()
                }
            case 'overflow' if here:
                runs = {name.rpartition(' ')[2]: run for name, run in found['runs'].items() if 'init_scale' in name}
                measured.lost_steps = {float(scale): run['lost_steps'] for scale, run in runs.items()}
                measured.iterations = found['iterations']
            case 'progressive':
                plain, changed = found['runs']['throughout'], found['runs']['progressive']
                psnr, reference = ({run['seed']: run['psnr_db'] for run in runs} for runs in (changed, plain))
                gain = {run['seed']: run['gain_db'] for run in plain}
                measured.differences['progressive'] = compare(psnr, reference, gain)
                if here:
                    seconds = ([run['run_s'] for run in runs] for runs in (plain, changed))
                    measured.savings_of['progressive'] = savings_of_pairs(*seconds)
    return measured


def judge(claim: Claim, measured: Measurements) -> Finding:
    """Return what the measurements say about a claim."""
    return RULES[claim.rule](claim, measured)


def saving(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the median round saves what was promised, in part if every round saves something.

    Undecided if the rounds scatter too much, if the plan's windows pad the maps too much, and if the median saves what
    was promised but one round saves nothing.
    """
    side = measured.speed['shape'][-1] if measured.speed else 0
    values = measured.savings(claim.plan, claim.reference, claim.of)
    if not values or side <= claim.larger_than:  # the change has no effect on clips so small
        return NOTHING
    promised, in_every_round = median(values) >= claim.expected[0], min(values) > 0
    padded = padding(side, claim.window) if claim.window else 0.0
    scatter = max(values) - min(values)
    unclear = scatter > MOST_SCATTER or padded > MOST_PADDING or (promised and not in_every_round)
    return Finding(UNDECIDED if unclear else grade(promised, in_every_round), values)


def share(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the median forward share is within a quarter of the claimed one, in part within a factor of two."""
    values = measured.shares(claim.of, 'forward_ms')
    ratio = median(values) / claim.expected if values else 0.0
    return Finding(grade(abs(ratio - 1) <= SHARE_TOLERANCE, 0.5 <= ratio <= 2), values) if values else NOTHING


def largest(claim: Claim, measured: Measurements) -> Finding:
    """Holds if exactly the claimed stages have the largest forward shares, in part if some of them do."""
    count, ranked = len(claim.of), list(measured.stages_by_share())
    found = set(ranked[:count]) & set(claim.of)
    values = measured.shares(claim.of, 'forward_ms')
    return Finding(grade(len(found) == count, bool(found)), values) if values else NOTHING


def potential(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the stages take as much of the step as the claim wants to save in them, in part from half of it."""
    values = measured.shares(claim.of, 'total_ms')
    ratio = median(values) / claim.expected if values else 0.0
    return Finding(grade(ratio >= 1, ratio >= 0.5), values) if values else NOTHING


def shortening(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the median training is shorter and its mean quality no lower, in part if it is shorter."""
    values, found = measured.savings(claim.plan), measured.differences.get(claim.plan)
    if not values or not found or found.low is None:
        return NOTHING
    shorter = median(values) > 0
    verdict = UNDECIDED if found.verdict == NOT_INFORMATIVE else grade(shorter and found.mean >= 0, shorter)
    return Finding(verdict, values, found)


def memory(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the peak is lower than the reference's by a hundredth or more."""
    value = measured.memory_saving(claim.plan, claim.reference)
    return NOTHING if value is None else Finding(grade(value >= LEAST_MEMORY_SAVING), (value,))


def room(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the larger batch takes less than a hundredth more than the baseline's."""
    value = measured.memory_saving(claim.plan)
    return NOTHING if value is None else Finding(grade(value > -LEAST_MEMORY_SAVING), (value,))


def loss(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the whole interval loses no more than was allowed, in part if the mean does not.

    Undecided if the difference is not informative, or if the reference gained too little to train the plan.
    """
    found = measured.difference(claim.plan, claim.reference)
    if measured.was_left_untrained(claim.plan):
        return Finding(UNDECIDED, reference_gain_db=measured.reference_gain_db)
    if not found or found.low is None:
        return NOTHING
    allowed = -claim.expected[1]
    verdict = grade(found.low >= allowed, found.mean >= allowed)
    return Finding(UNDECIDED if found.verdict == NOT_INFORMATIVE else verdict, difference=found)


def steadied(claim: Claim, measured: Measurements) -> Finding:
    """Holds if the lowest initial loss scale loses fewer steps than the highest; undecided if none is lost."""
    lost = measured.lost_steps
    if len(lost) < 2:
        return NOTHING
    before, after = lost[max(lost)], lost[min(lost)]
    return Finding(grade(after < before) if before or after else UNDECIDED, steps=(before, after, measured.iterations))


def grade(confirmed: bool, in_part: bool = False) -> str:
    return HOLDS if confirmed else IN_PART if in_part else FAILS


def padding(side: int, window: int) -> float:
    """Return by how much whole windows enlarge a square map.

    >>> padding(16, 6)
    0.265625
    """
    return (-(-side // window) * window / side) ** 2 - 1


def savings_of_pairs(before: Sequence[float], after: Sequence[float]) -> Shares:
    return tuple(1 - fast / slow for slow, fast in zip(before, after, strict=True))


RULES: dict[str, Callable[[Claim, Measurements], Finding]] = {
    rule.__name__: rule for rule in (saving, share, largest, potential, shortening, memory, room, loss, steadied)
}
