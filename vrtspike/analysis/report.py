"""The report of a run, shown by the terminal, the pages and the plots. ``docs/analysis.md`` describes its JSON."""

from __future__ import annotations

import json

import msgspec

from vrtspike.analysis import advice
from vrtspike.analysis.advice import Finding
from vrtspike.analysis.caveats import caveats
from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.statistics import curves
from vrtspike.analysis.statistics.curves import Convergence, Curve, Quality
from vrtspike.analysis.statistics.peak_memory import PeakMemory, peak_memory
from vrtspike.analysis.statistics.roofline import RooflinePoint, roofline
from vrtspike.analysis.statistics.samples import SampleTable, Statistics
from vrtspike.analysis.statistics.stability import Stability, stability
from vrtspike.analysis.statistics.stage_shares import (
    Bottleneck,
    MeasuredCost,
    bottlenecks,
    phase_shares,
    stage_costs,
)
from vrtspike.analysis.statistics.throughput import RankTimes, Throughput, rank_times, throughput
from vrtspike.analysis.statistics.utilisation import RunUtilisation, run_utilisation
from vrtspike.errors import LogError
from vrtspike.records.memory import MemoryLine


class BatchSize(msgspec.Struct, frozen=True):
    """Mean clips and frames of a batch; None if unknown."""

    clips: float | None
    frames: float | None


class RunDescription(msgspec.Struct, frozen=True, kw_only=True):
    """The latest value of every field of the run lines; None if no line has it."""

    config: str | None
    world_size: int | None
    precision: str | None
    device: dict[str, str | int] | None
    clip_shape: list[int] | None
    accumulative_counts: int | None
    interval: int | None
    warmup: int | None
    versions: dict[str, str | None] | None
    commit: str | None
    uncounted_ops: dict[str, int] | None


class Report(msgspec.Struct, kw_only=True):
    """The result of an analysis. The fields are the keys of its JSON."""

    name: str
    samples: int
    iteration_ms: Statistics | None
    stages: dict[str, MeasuredCost]
    """By stage, in the order they run."""
    parts: dict[str, MeasuredCost]
    """By ``<stage>/<part>``."""
    phase_shares: dict[str, float]
    bottlenecks: list[Bottleneck]
    roofline: dict[str, RooflinePoint]
    batch: BatchSize
    throughput: Throughput
    utilisation: RunUtilisation | None = None
    memory: PeakMemory
    explained_memory: MemoryLine | None = None
    """What held the memory in the latest explained iteration, in the process with the highest peak."""
    stability: Stability
    convergence: Convergence | None
    validation: dict[str, Quality]
    ranks: RankTimes | None
    run: RunDescription | None
    curves: dict[str, Curve]
    source_format: str
    sources: list[Source]
    warnings: list[str]
    findings: list[Finding] = []


def build_report(log: RunLog) -> Report:
    """Analyse a run.

    Raises:
        LogError: The log has neither times of iterations nor scalars of a training or validation.
    """
    costs = log.costs() if log.cost_format else SampleTable()
    report = Report(
        name=log.name,
        samples=costs.rows,
        iteration_ms=costs.statistics('iteration_ms') if costs.rows else None,
        stages=stage_costs(log, costs),
        parts=stage_costs(log, costs, 'parts'),
        phase_shares=phase_shares(log, costs),
        bottlenecks=bottlenecks(log, costs),
        roofline=roofline(log, costs),
        batch=BatchSize(costs.mean('clips'), costs.mean('frames')),
        throughput=throughput(log, costs),
        utilisation=run_utilisation(log, costs),
        memory=peak_memory(log, costs),
        explained_memory=max(log.memory, key=lambda line: (line.iteration, line.peak_mib), default=None),
        stability=stability(log, costs),
        convergence=curves.convergence(log),
        validation=curves.quality(log),
        ranks=rank_times(log),
        run=_described(log),
        curves=curves.report_curves(log),
        source_format=log.cost_format or log.formats[0],
        sources=log.sources,
        warnings=caveats(log, costs),
    )
    if not report.samples and not report.curves and not report.explained_memory:
        raise LogError(
            f'{log.name}: records were read, but no time of an iteration, no loss and no validation. Found: '
            f'{", ".join(sorted(log.series)[:20]) or "no numbers"}. plot_curve --keys shows any of these'
        )
    report.findings = advice.findings(report)
    _require_finite(report)
    return report


def _require_finite(report: Report) -> None:
    """Raise a :class:`LogError` if the numbers of a log were too large or too small to compute with."""
    try:
        json.dumps(msgspec.to_builtins(report), allow_nan=False)
    except ValueError as error:
        raise LogError(f'{report.name}: its numbers are too large or too small to compute with: {error}') from error


def _described(log: RunLog) -> RunDescription | None:
    if not log.descriptions:
        return None
    return RunDescription(**{key: log.describe(key) for key in RunDescription.__struct_fields__})
