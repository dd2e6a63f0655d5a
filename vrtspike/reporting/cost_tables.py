"""Tables of what the stages cost: counted operations and measured times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from statistics import median

import msgspec

from vrtspike.profiling.flops import Costs
from vrtspike.records.nominal_peaks import NominalPeak
from vrtspike.records.roofline import batch_work, least_time
from vrtspike.records.stage_costs import (
    LAUNCH_BOUND_FROM,
    PHASES,
    WITHOUT_DEVICE,
    CountedCost,
    RunLine,
    Sample,
    Utilisation,
)
from vrtspike.records.utilisation import SampleUtilisation
from vrtspike.reporting.table import Table
from vrtspike.runtime.device import MIB


class CostMedians(msgspec.Struct, frozen=True):
    """Medians of the sampled iterations of one process.

    Args:
        iteration_ms: Of a whole iteration.
        stages: Milliseconds by stage and phase, 0 for a phase that a stage does not have.
    """

    iteration_ms: float = 0.0
    stages: dict[str, dict[str, float]] = {}

    def stage_ms(self, stage: str) -> float:
        """Return the time of a stage over all phases."""
        return sum(self.stages[stage].values())

    def phase_ms(self, phase: str) -> float:
        """Return the time of a phase over all stages."""
        return sum(phases[phase] for phases in self.stages.values())

    def busy_ms(self) -> float:
        """Return the time of all stages, without waiting for other processes."""
        return sum(self.stage_ms(stage) for stage in self.stages if stage != 'communication')


def cost_medians(samples: Iterable[Sample]) -> CostMedians:
    """Return the medians over samples; without samples there are no stages."""
    samples = list(samples)
    if not samples:
        return CostMedians()
    by_sample = [sample.stages() for sample in samples]
    names = dict.fromkeys(name for stages in by_sample for name in stages)
    stages = {
        name: {phase: median(stages.get(name, {}).get(phase, 0.0) for stages in by_sample) for phase in PHASES}
        for name in names
    }
    return CostMedians(median(sample.iteration_ms for sample in samples), stages)


def measured_costs_table(
    samples: Collection[Sample],
    run: RunLine,
    ranks: Sequence[CostMedians] = (),
    utilisations: Collection[SampleUtilisation] = (),
) -> Table:
    """Return the median times of the stages, in the run's order.

    If the run has counted costs, there are columns for the rate of the forward pass, and if it also has the device's
    rates, for its share of the roofline. The notes are those of the run, the utilisation and, for several processes,
    the slowest one.

    Args:
        samples: Of this process.
        run: What the run is.
        ranks: Medians of all processes.
        utilisations: Of this process.
    """
    notes = [f'note: {note}' for note in run.notes or ()]
    if utilisations:
        notes.append(utilisation_text([used.iteration for used in utilisations], run))
    if len(ranks) > 1:
        notes.append(slowest_rank(ranks))
    notes += launch_bound_notes(samples)
    medians = cost_medians(samples)
    clips = max(median(sample.clips for sample in samples), 1)
    columns = ['stage', *(f'{phase} ms' for phase in PHASES), 'share', *_rate_columns(run)]
    rows = [
        [*_time_cells(medians, stage), *_rate_cells(medians.stages[stage]['forward'], stage, clips, run)]
        for stage in _in_order(medians.stages, run.stages)
    ]
    if utilisations:
        columns.append('MFU')
        for row in rows:
            row.append(_stage_mfu(utilisations, row[0]))
    sums = [f'iteration {medians.iteration_ms:.1f} ms', *(f'{medians.phase_ms(phase):.1f}' for phase in PHASES)]
    return Table(
        title=f'Medians of {len(samples)} iterations of {clips:g} clips, {run.precision} on {run.device["name"]}',
        columns=columns,
        rows=rows,
        footer=[*sums, '100.0%', *[''] * (len(columns) - 5)],
        notes=notes,
    )


def launch_bound_notes(samples: Iterable[Sample]) -> Iterator[str]:
    """Yield a sentence about the stages whose time is that in which the host issues their work, if there are any."""
    times, host_bound = Counter(), Counter()
    for sample in samples:
        host_bound.update(sample.host_bound_ms)
        for owner, ms in sample.times.items():
            if owner.stage in sample.host_bound_ms and owner.stage not in WITHOUT_DEVICE:
                times[owner.stage] += ms
    shares = {name: host_bound[name] / ms for name, ms in times.items() if ms}
    named = [f'{name} ({share:.0%})' for name, share in shares.items() if share >= LAUNCH_BOUND_FROM]
    if named:
        yield f'launch-bound (share of the time in which the GPU may wait for the host): {", ".join(named)}'


def _in_order(stages: Iterable[str], order: list[str]) -> list[str]:
    """Return stages in the given order; those not named there come last."""
    return sorted(stages, key=lambda stage: order.index(stage) if stage in order else len(order))


def _time_cells(medians: CostMedians, stage: str) -> list[str]:
    phases = medians.stages[stage]
    total_ms = sum(map(medians.stage_ms, medians.stages))
    share = medians.stage_ms(stage) / total_ms
    return [stage, *(f'{phases[phase]:.2f}' if phases[phase] else '' for phase in PHASES), f'{share:.1%}']


def _rate_columns(run: RunLine) -> list[str]:
    if not run.costs:
        return []
    return ['GMAC', 'GFLOP/s', *(['of roofline', 'limit'] if run.rates else [])]


def _rate_cells(forward_ms: float, stage: str, clips: float, run: RunLine) -> list[str]:
    """Return what a stage's forward pass computes, its rate, its share of the roofline and what limits it."""
    cost = (run.costs or {}).get(stage, CountedCost())
    if not cost.gmacs or not forward_ms:
        return [''] * len(_rate_columns(run))
    work = batch_work(cost, clips, run.precision)
    cells = [f'{work.gmacs:.2f}', f'{2 * work.gmacs / forward_ms * 1e3:,.0f}']
    if run.rates:
        least = least_time(work, run.rates)
        cells += [f'{least.ms / forward_ms:.0%}', f'{least.bound}-bound']
    return cells


def _stage_mfu(utilisations: Iterable[SampleUtilisation], stage: str) -> str:
    found = [used.stages[stage].mfu for used in utilisations if stage in used.stages]
    return f'{median(found):.1%}' if found else ''


def utilisation_text(utilisations: Iterable[Utilisation], run: RunLine) -> str:
    """Return a sentence about the median MFU and HFU of iterations, against the measured and the stated peak."""
    utilisations = list(utilisations)
    mfu = median(used.mfu for used in utilisations)
    hfus = [used.hfu for used in utilisations if used.hfu is not None]
    hfu = f', HFU {median(hfus):.1%}' if hfus else ''
    text = f'MFU {mfu:.1%}{hfu} of the measured peak of {run.rates.gmacs_per_s:,.0f} GMAC/s'
    if isinstance(run.nominal, NominalPeak):
        share = mfu * run.rates.gmacs_per_s / run.nominal.gmacs_per_s
        text += f'; MFU {share:.1%} of the stated {run.nominal.gmacs_per_s:,.0f} GMAC/s in {run.nominal.precision}'
    return text


def slowest_rank(ranks: Sequence[CostMedians]) -> str:
    """Return a sentence about the process that computes longest, not counting its waiting for others."""
    busy = [medians.busy_ms() for medians in ranks]
    slowest = max(range(len(busy)), key=busy.__getitem__)
    return f'slowest of {len(ranks)} processes: rank {slowest}, {busy[slowest]:.1f} ms busy; fastest {min(busy):.1f} ms'


def counted_costs_table(costs: Costs) -> Table:
    """Return what the stages compute for one clip or one batch; operators without a count are in the notes."""
    total = costs.total
    *rows, footer = (
        [
            name,
            f'{cost.macs / 1e9:,.3f}',
            f'{cost.macs / max(total.macs, 1):.1%}',
            f'{cost.activations / 1e6:,.1f}',
            f'{cost.bytes / MIB:,.0f}',
            f'{cost.parameters:,}',
        ]
        for name, cost in {**costs.stages, 'total': total}.items()
    )
    counted = f'One batch of {costs.clips}'
    if costs.clip_shape:
        counted = 'One clip of {} frames of {} x {} pixels'.format(*costs.clip_shape)
    return Table(
        title=f'{counted}, forward (1 GMAC = 2 GFLOP)',
        columns=['stage', 'GMAC', 'share', 'activations M', 'MiB moved', 'parameters'],
        rows=rows,
        footer=footer,
        notes=_uncounted_notes(costs),
    )


def _uncounted_notes(costs: Costs) -> list[str]:
    """Return what limits the counts, the operators that no rule covers and those that have nothing to count."""
    notes = [f'NOTE: {costs.note}'] if costs.note else []
    if costs.unknown:
        notes.append(f'NOT COUNTED, so that the sums are lower bounds: {_calls(costs.unknown)}')
    if costs.elementwise:
        notes.append(f'without multiply-accumulates: {_calls(costs.elementwise)}')
    return notes


def _calls(ops: Counter[str]) -> str:
    return ', '.join(f'{name.removeprefix("aten::")} {calls}' for name, calls in ops.most_common())
