"""The record of an ablation, which ``benchmarks/ablation.schema.json`` describes as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from vrtspike.experiments.runs import FailedRun, Run
from vrtspike.experiments.statistics import Difference, Interval, compare, interval
from vrtspike.experiments.variants import REFERENCE, Variant
from vrtspike.records.reader import read_records
from vrtspike.records.stage_costs import FILE_NAME, PHASE_KEYS, SampleLine, Times


class RunScores(msgspec.Struct, frozen=True, kw_only=True):
    """What the record keeps of one finished run: its scores and costs. What the schema does not require can be None.

    Args:
        seed: Of weights and data.
        blur_psnr_db: PSNR of the blurred input.
        psnr_db: PSNR of the restored clips.
        gain_db: Their difference.
        ssim: Of the restored clips.
        iteration_ms: Median time of an iteration.
        peak_memory_mib: Largest memory of the run.
        commit: Of the code that trained.
    """

    seed: int
    blur_psnr_db: float | None = None
    psnr_db: float
    gain_db: float
    ssim: float | None = None
    iteration_ms: float | None = None
    peak_memory_mib: float | None = None
    commit: str | None


class StageCosts(msgspec.Struct, frozen=True):
    """Costs of a network by stage.

    Args:
        stage_ms: Median over the samples, all phases together; None if nothing was sampled.
        gmacs: GMAC of the forward pass of one clip; None if they were not counted.
    """

    stage_ms: dict[str, float] | None = None
    gmacs: float | None = None


class FinishedRun(RunScores, frozen=True, kw_only=True):
    """One finished run as its folder describes it.

    Args:
        costs: By stage.
        parameters: Of the network.
        iterations: Length of the training.
        versions: Of the libraries.
        device: ``type`` and ``name``.
    """

    costs: StageCosts
    parameters: int
    iterations: int
    versions: dict[str, Any]
    device: dict[str, Any]

    def scores(self) -> RunScores:
        """Return the part that the record keeps for every run."""
        return msgspec.convert(self, RunScores, from_attributes=True)


class VariantRecord(msgspec.Struct, kw_only=True):
    """The finished runs of one variant.

    Args:
        name: Of the variant.
        overrides: Dotted keys of the config and their values.
        plugins: Loaded plugins.
        failure: Why a run failed; None if none did.
        parameters: Of the network.
        gmacs: GMAC of the forward pass of one clip.
        iteration_ms: Median over the runs.
        stage_ms: Median over the runs, by stage.
        peak_memory_mib: Largest of the runs.
        psnr_db: Mean over the runs.
        gain_db: Likewise.
        ssim: Likewise.
        difference_db: From the reference; None for the reference itself.
        runs: One entry per finished run.
    """

    name: str
    overrides: dict[str, Any]
    plugins: list[str]
    failure: str | None
    parameters: int | None
    gmacs: float | None
    iteration_ms: float | None
    stage_ms: dict[str, float] | None
    peak_memory_mib: float | None
    psnr_db: Interval
    gain_db: Interval
    ssim: Interval
    difference_db: Difference | None = None
    runs: list[RunScores]


class AblationRecord(msgspec.Struct, kw_only=True):
    """An ablation, finished or not.

    Args:
        config: The base config.
        common: Overrides that all variants share.
        seeds: Of all runs, finished or not.
        iterations: Length of the trainings, like the following fields from the reference's first finished run; None
            without any finished run.
        versions: Of the libraries.
        device: ``type`` and ``name``.
        commit: Of the code that trained.
        variants: The reference first.
    """

    config: str
    common: dict[str, Any]
    seeds: list[int]
    iterations: int | None
    versions: dict[str, Any] | None
    device: dict[str, Any] | None
    commit: str | None
    variants: list[VariantRecord]


def record_of(
    variants: Sequence[Variant],
    runs: Sequence[Run],
    failures: Mapping[str, FailedRun | str],
    config: str,
    common: Mapping[str, Any],
) -> AblationRecord:
    """Return the record of an ablation.

    Args:
        variants: The reference first.
        runs: All that belong to the ablation; those without a report are not finished.
        failures: By the name of a variant.
        config: The base config.
        common: Overrides that all variants share.
    """
    finished = {variant.name: _finished_runs(variant, runs) for variant in variants}
    reference = finished.get(REFERENCE, [])
    first = next((run for found in (reference, *finished.values()) for run in found), None)
    return AblationRecord(
        config=config,
        common=dict(common),
        seeds=sorted({run.seed for run in runs}),
        iterations=first and first.iterations,
        versions=first and first.versions,
        device=first and first.device,
        commit=first and first.commit,
        variants=[_variant_record(each, finished[each.name], reference, failures.get(each.name)) for each in variants],
    )


def read_run(run: Run) -> FinishedRun:
    """Return what the report of a finished run says, with the costs of its stages if they were sampled."""
    report = json.loads(run.report.read_text(encoding='utf-8'))
    scores = report['validation']['mean']
    return FinishedRun(
        seed=run.seed,
        blur_psnr_db=scores['blur_psnr_db'],
        psnr_db=scores['psnr_db'],
        gain_db=scores['gain_db'],
        ssim=scores['ssim'],
        iteration_ms=report['iteration_ms_median'],
        peak_memory_mib=report['peak_memory_mib'],
        commit=report['commit'],
        costs=read_stage_costs(run.work_dir / FILE_NAME),
        parameters=report['parameters'],
        iterations=report['iterations'],
        versions=report['versions'],
        device=report['device'],
    )


def read_stage_costs(path: Path) -> StageCosts:
    """Return the costs in a ``stage_costs.jsonl``; all None if there is no such file."""
    if not path.is_file():
        return StageCosts()
    samples, costs = [], {}
    for line in read_records(path):
        if isinstance(line, SampleLine):
            samples.append({name: _milliseconds(times) for name, times in line.stages.items()})
        else:
            costs = line.costs or costs
    return StageCosts(_medians(samples), sum(cost.gmacs for cost in costs.values()) if costs else None)


def _milliseconds(times: Times) -> float:
    return sum(getattr(times, key) for key in PHASE_KEYS)


def _medians(times: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Return the median time of every stage; a stage that is missing took no time."""
    names = dict.fromkeys(name for stages in times for name in stages)
    return {name: median(stages.get(name, 0.0) for stages in times) for name in names} or None


def _finished_runs(variant: Variant, runs: Iterable[Run]) -> list[FinishedRun]:
    return [read_run(run) for run in runs if run.variant == variant and run.report.is_file()]


def _variant_record(
    variant: Variant,
    runs: Sequence[FinishedRun],
    reference: Sequence[FinishedRun],
    failure: FailedRun | str | None,
) -> VariantRecord:
    return VariantRecord(
        name=variant.name,
        overrides=dict(variant.overrides),
        plugins=list(variant.plugins),
        failure=None if failure is None else str(failure),
        parameters=runs[0].parameters if runs else None,
        gmacs=next((run.costs.gmacs for run in runs if run.costs.gmacs is not None), None),
        iteration_ms=median(run.iteration_ms for run in runs) if runs else None,
        stage_ms=_medians([run.costs.stage_ms for run in runs if run.costs.stage_ms]),
        peak_memory_mib=max((run.peak_memory_mib for run in runs), default=None),
        psnr_db=interval([run.psnr_db for run in runs]),
        gain_db=interval([run.gain_db for run in runs]),
        ssim=interval([run.ssim for run in runs]),
        difference_db=None if variant.name == REFERENCE else _difference(runs, reference),
        runs=[run.scores() for run in runs],
    )


def _difference(runs: Sequence[FinishedRun], reference: Sequence[FinishedRun]) -> Difference:
    return compare(
        {run.seed: run.psnr_db for run in runs},
        {run.seed: run.psnr_db for run in reference},
        {run.seed: run.gain_db for run in reference},
    )
