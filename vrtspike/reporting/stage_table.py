"""Tables of stages: what they cost in theory, and what they took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from statistics import median

from vrtspike.profiling.flops import Costs
from vrtspike.records.roofline import batch_work, least_time
from vrtspike.records.stage_costs import PHASES, CountedCost, Rates, RunLine, Sample
from vrtspike.reporting.table import Table

Medians = dict[str, dict[str, float]]


def stage_medians(samples: Iterable[Sample]) -> Medians:
    """Return the median milliseconds of every stage and phase, and under ``iteration`` of the whole."""
    samples = list(samples)
    if not samples:
        return {}
    by_sample = [sample.stages() for sample in samples]
    names = dict.fromkeys(name for stages in by_sample for name in stages)
    medians = {
        name: {phase: median(stages.get(name, {}).get(phase, 0.0) for stages in by_sample) for phase in PHASES}
        for name in names
    }
    return medians | {'iteration': {'all': median(sample.iteration_ms for sample in samples)}}


def stage_table(samples: Collection[Sample], run: RunLine) -> str:
    """Return the table of medians, the stages in the run's order, with what they reach where their costs are known."""
    medians = stage_medians(samples)
    iteration_ms = medians.pop('iteration')['all']
    total_ms = sum(sum(phases.values()) for phases in medians.values())
    costs, rates = run.costs, run.rates
    columns = ['stage', 'forward ms', 'recompute ms', 'backward ms', 'share']
    columns += ['GMAC', 'GFLOP/s'] if costs else []
    columns += ['of roofline', 'bound by'] if costs and rates else []
    rows = []
    clips = max(median(sample.clips for sample in samples), 1)
    for name in sorted(medians, key=lambda name: _place(name, run.stages)):
        phases = medians[name]
        row = [name, *(f'{phases[phase]:.2f}' if phases[phase] else '' for phase in PHASES)]
        row.append(f'{sum(phases.values()) / total_ms:.1%}')
        if costs:
            row += _reached(phases['forward'], costs.get(name), clips, rates, run.precision)
        rows.append(row)
    footer = [f'iteration {iteration_ms:.1f} ms', *(f'{_sum(medians, phase):.1f}' for phase in PHASES), '100.0%']
    title = f'Medians of {len(samples)} iterations of {clips:g} clips, {run.precision} on {run.device["name"]}'
    footer += [''] * (len(columns) - len(footer))
    return Table(title=title, columns=columns, rows=rows, footer=footer).text()


def slowest_rank(ranks: list[Medians]) -> str:
    """Return a sentence that names the process that computed the longest, waiting for the others left out."""
    waits = ('communication', 'iteration')
    busy = [sum(sum(p.values()) for name, p in medians.items() if name not in waits) for medians in ranks]
    slowest = max(range(len(busy)), key=busy.__getitem__)
    fastest = min(busy)
    return f'  slowest of {len(ranks)} processes: rank {slowest}, {busy[slowest]:.1f} ms busy; fastest {fastest:.1f} ms'


def _reached(
    forward_ms: float, cost: CountedCost | None, clips: float, rates: Rates | None, precision: str
) -> list[str]:
    """Return the cells GMAC, GFLOP/s, share of the roofline and what binds, of a stage's forward pass."""
    if not cost or not cost.gmacs or not forward_ms:
        return ['', ''] + ['', ''] * (rates is not None)
    work = batch_work(cost, clips, precision)
    cells = [f'{work.gmacs:.2f}', f'{2 * work.gmacs / forward_ms * 1e3:,.0f}']
    if rates is not None:
        least = least_time(work, rates)
        cells += [f'{least.ms / forward_ms:.0%}', least.bound]
    return cells


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)


def _sum(medians: Medians, phase: str) -> float:
    return sum(phases[phase] for phases in medians.values())


def costs_table(costs: Costs, clip_shape: tuple[int, int, int]) -> str:
    """Return the table of stages, and below it the operators that were not counted."""
    total = costs.total
    columns = ['stage', 'GMAC', 'share', 'activations M', 'MiB moved', 'parameters']
    rows = [
        [
            name,
            f'{cost.macs / 1e9:,.3f}',
            f'{cost.macs / max(total.macs, 1):.1%}',
            f'{cost.activations / 1e6:,.1f}',
            f'{cost.bytes / 2**20:,.0f}',
            f'{cost.parameters:,}',
        ]
        for name, cost in {**costs.stages, 'total': total}.items()
    ]
    title = 'One clip of {} frames of {} x {} pixels, forward (1 GMAC = 2 GFLOP)'.format(*clip_shape)
    return Table(title=title, columns=columns, rows=rows[:-1], footer=rows[-1], notes=uncounted_text(costs)).text()


def uncounted_text(costs: Costs) -> list[str]:
    """Return what to say about operators without a count: unknown ones first."""
    lines = []
    if costs.unknown:
        lines.append(f'NOT COUNTED, so that the sums are lower bounds: {_calls(costs.unknown)}')
    if costs.elementwise:
        lines.append(f'without multiply-accumulates: {_calls(costs.elementwise)}')
    return lines


def _calls(ops: Counter[str]) -> str:
    return ', '.join(f'{name.removeprefix("aten::")} {calls}' for name, calls in ops.most_common())
