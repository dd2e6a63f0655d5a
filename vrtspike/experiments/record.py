"""The record of an ablation, which ``benchmarks/ablation.schema.json`` describes as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from vrtspike.candidates import Overrides
from vrtspike.experiments.runs import Run
from vrtspike.experiments.statistics import LEAST_GAIN_DB, Difference, Interval, compare, interval
from vrtspike.experiments.variants import REFERENCE, Variant
from vrtspike.records.reader import read_records
from vrtspike.records.stage_costs import FILE_NAME, PHASE_KEYS, SampleLine


class RunScores(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of the held-out clips and costs of one finished run. Fields optional in the schema may be None."""

    seed: int
    blur_psnr_db: float | None = None
    psnr_db: float
    gain_db: float
    ssim: float | None = None
    iteration_ms: float | None = None
    """Median."""
    peak_memory_mib: float | None = None
    commit: str | None


class FinishedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run: its own record, and the values for the records of its variant and of the ablation.

    Args:
        scores: Its own record.
        stage_ms: Median time of each stage, all phases together; None if nothing was sampled.
        gmacs: GMAC of the forward pass of one clip; None if they were not counted.
        parameters: Parameters of the network.
        iterations: Length of the training.
        versions: Versions of the libraries.
        device: ``type`` and ``name``.
    """

    scores: RunScores
    stage_ms: dict[str, float] | None = None
    gmacs: float | None = None
    parameters: int
    iterations: int
    versions: dict[str, str | None]
    device: dict[str, str | int]


class VariantRecord(Variant, frozen=True, kw_only=True):
    """A variant and its finished runs: medians of times, means of scores and the largest peak memory.

    Args:
        failure: Why a run failed; None if none did.
        gmacs: GMAC of the forward pass of one clip.
        stage_ms: Time of each stage.
        difference_db: Difference from the reference; None for the reference itself.
        runs: One entry per finished run.
    """

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


class AblationRecord(msgspec.Struct, kw_only=True, rename={'shared_overrides': 'common'}):
    """An ablation, finished or not.

    Args:
        config: The base config.
        shared_overrides: Overrides that all variants share; ``common`` in JSON.
        seeds: Seeds of all runs, finished or not.
        iterations: Length of the trainings. This and the following fields are those of the first finished run, of the
            reference if possible; None without any finished run.
        versions: Versions of the libraries.
        device: ``type`` and ``name``.
        commit: Commit of the code that trained.
        variants: The reference first.
    """

    config: str
    shared_overrides: Overrides
    seeds: list[int]
    iterations: int | None
    versions: dict[str, str | None] | None
    device: dict[str, str | int] | None
    commit: str | None
    variants: list[VariantRecord]


def record_of(
    variants: Sequence[Variant],
    runs: Sequence[Run],
    failures: Mapping[str, str],
    config: str,
    shared_overrides: Overrides,
) -> AblationRecord:
    """Return the record of an ablation.

    Args:
        variants: The reference first.
        runs: All that belong to the ablation; those without a report are not finished.
        failures: Reasons by the name of a variant.
        config: The base config.
        shared_overrides: Overrides that all variants share.
    """
    finished = {
        variant.name: [read_run(run) for run in runs if run.variant == variant and run.report.is_file()]
        for variant in variants
    }
    reference = finished.get(REFERENCE, [])
    first = next((run for found in (reference, *finished.values()) for run in found), None)
    return AblationRecord(
        config=config,
        shared_overrides=shared_overrides,
        seeds=sorted({run.seed for run in runs}),
        iterations=first and first.iterations,
        versions=first and first.versions,
        device=first and first.device,
        commit=first and first.scores.commit,
        variants=[_variant_record(each, finished[each.name], reference, failures.get(each.name)) for each in variants],
    )


def read_run(run: Run) -> FinishedRun:
    """Return the contents of a finished run's report, with the costs of its stages if they were sampled."""
    report = json.loads(run.report.read_text(encoding='utf-8'))
    mean = {key: report['validation']['mean'][key] for key in ('blur_psnr_db', 'psnr_db', 'gain_db', 'ssim')}
    costs = {'iteration_ms': report['iteration_ms_median'], 'peak_memory_mib': report['peak_memory_mib']}
    stage_ms, gmacs = read_stage_costs(run.work_dir / FILE_NAME)
    return FinishedRun(
        scores=RunScores(seed=run.seed, **mean, **costs, commit=report['commit']),
        stage_ms=stage_ms,
        gmacs=gmacs,
        **{key: report[key] for key in ('parameters', 'iterations', 'versions', 'device')},
    )


def gains_enough(run: Run) -> bool:
    """Return whether a finished run of the reference gained enough for differences from it to be informative."""
    return read_run(run).scores.gain_db >= LEAST_GAIN_DB


def read_stage_costs(path: Path) -> tuple[dict[str, float] | None, float | None]:
    """Return the median time of each stage and the GMAC of a ``stage_costs.jsonl``, None for what is not known."""
    if not path.is_file():
        return None, None
    samples, costs = [], {}
    for line in read_records(path):
        if isinstance(line, SampleLine):
            times = {name: sum(getattr(each, key) for key in PHASE_KEYS) for name, each in line.stages.items()}
            samples.append(times)
        else:
            costs = line.costs or costs
    gmacs = sum(cost.gmacs for cost in costs.values()) if costs else None
    return _medians(samples), gmacs


def _medians(times: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Return the median time of every stage; a stage that is missing took no time."""
    names = dict.fromkeys(name for stages in times for name in stages)
    return {name: median(stages.get(name, 0.0) for stages in times) for name in names} or None


def _variant_record(
    variant: Variant, runs: Sequence[FinishedRun], reference: Sequence[FinishedRun], failure: str | None
) -> VariantRecord:
    scores, compared = [run.scores for run in runs], [run.scores for run in reference]
    return VariantRecord(
        **msgspec.structs.asdict(variant),
        failure=failure,
        parameters=runs[0].parameters if runs else None,
        gmacs=next((run.gmacs for run in runs if run.gmacs is not None), None),
        iteration_ms=median(run.iteration_ms for run in scores) if scores else None,
        stage_ms=_medians([run.stage_ms for run in runs if run.stage_ms]),
        peak_memory_mib=max((run.peak_memory_mib for run in scores), default=None),
        **{key: interval([getattr(run, key) for run in scores]) for key in ('psnr_db', 'gain_db', 'ssim')},
        difference_db=None if variant.name == REFERENCE else _difference(scores, compared),
        runs=scores,
    )


def _difference(runs: Sequence[RunScores], reference: Sequence[RunScores]) -> Difference:
    psnr, expected = ({run.seed: run.psnr_db for run in each} for each in (runs, reference))
    return compare(psnr, expected, {run.seed: run.gain_db for run in reference})
