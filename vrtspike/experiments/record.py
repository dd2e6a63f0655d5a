"""What an ablation found, as its record holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from vrtspike.experiments.runs import Run
from vrtspike.experiments.statistics import compare, interval
from vrtspike.experiments.variants import REFERENCE, Variant
from vrtspike.records.reader import read_records
from vrtspike.records.stage_costs import FILE_NAME, PHASE_KEYS, SampleLine, Times


def record_of(
    variants: Sequence[Variant], runs: Sequence[Run], failures: Mapping[str, str], config: str, common: Mapping
) -> dict[str, Any]:
    """Return the record of an ablation, finished or not.

    Returns:
        ``config``, ``common`` (overrides of all), ``seeds``, ``iterations``, ``versions``, ``device``, ``commit`` (of
        the reference's first run), and ``variants``: for each ``name``, ``overrides``, ``plugins``, ``failure``
        (None, or why), ``runs`` (see :func:`read_run`), ``parameters``, ``gmacs``, ``stage_ms`` and
        ``iteration_ms`` (medians over the runs), ``peak_memory_mib`` (largest), ``psnr_db``, ``gain_db``, ``ssim``
        (``mean``, ``low``, ``high``) and ``difference_db`` (see
        :func:`~vrtspike.experiments.statistics.compare`; None for the reference).
    """
    finished = {v.name: {r.seed: read_run(r) for r in runs if r.variant == v and r.report.is_file()} for v in variants}
    reference = finished.get(REFERENCE, {})
    first = next((run for by_seed in (reference, *finished.values()) for run in by_seed.values()), {})
    return {
        'config': config,
        'common': dict(common),
        'seeds': sorted({run.seed for run in runs}),
        **{key: first.get(key) for key in ('iterations', 'versions', 'device', 'commit')},
        'variants': [_row(v, finished[v.name], reference, failures.get(v.name)) for v in variants],
    }


def read_run(run: Run) -> dict[str, Any]:
    """Return what a finished run says: its report's scores and costs, and those of its stages where it has them."""
    report = json.loads(run.report.read_text(encoding='utf-8'))
    scores = report['validation']['mean']
    costs = read_stage_costs(run.work_dir / FILE_NAME)
    return {
        'seed': run.seed,
        **{key: scores[key] for key in ('blur_psnr_db', 'psnr_db', 'gain_db', 'ssim')},
        'iteration_ms': report['iteration_ms_median'],
        'peak_memory_mib': report['peak_memory_mib'],
        **costs,
        **{key: report[key] for key in ('parameters', 'iterations', 'versions', 'device', 'commit')},
    }


def read_stage_costs(path: Path) -> dict[str, Any]:
    """Return ``stage_ms`` (median over the samples, all phases) and ``gmacs`` of a ``stage_costs.jsonl``.

    Both are None where there is no such file. GMAC are those of one clip's forward pass.
    """
    if not path.is_file():
        return {'stage_ms': None, 'gmacs': None}
    samples, costs = [], {}
    for record in read_records(path):
        if isinstance(record, SampleLine):
            samples.append(record.stages)
        else:
            costs = record.costs or costs
    names = dict.fromkeys(name for stages in samples for name in stages)
    return {
        'stage_ms': {name: median(_milliseconds(stages.get(name)) for stages in samples) for name in names} or None,
        'gmacs': sum(cost.gmacs for cost in costs.values()) if costs else None,
    }


def _milliseconds(times: Times | None) -> float:
    return sum(getattr(times, key) for key in PHASE_KEYS) if times else 0.0


def _row(variant: Variant, by_seed: dict[int, dict], reference: dict[int, dict], failure: str | None) -> dict[str, Any]:
    runs = list(by_seed.values())
    row = {
        'name': variant.name,
        'overrides': dict(variant.overrides),
        'plugins': list(variant.plugins),
        'failure': failure,
        'parameters': runs[0]['parameters'] if runs else None,
        'gmacs': next((run['gmacs'] for run in runs if run['gmacs'] is not None), None),
        'iteration_ms': median(run['iteration_ms'] for run in runs) if runs else None,
        'stage_ms': _stage_ms(runs),
        'peak_memory_mib': max((run['peak_memory_mib'] for run in runs), default=None),
        **{key: interval([run[key] for run in runs]) for key in ('psnr_db', 'gain_db', 'ssim')},
        'difference_db': None,
        'runs': [{key: run[key] for key in RUN_KEYS} for run in runs],
    }
    if variant.name != REFERENCE:
        row['difference_db'] = compare(*(_by_seed(of, key) for of, key in (
            (by_seed, 'psnr_db'), (reference, 'psnr_db'), (reference, 'gain_db'))))  # fmt: skip
    return row


RUN_KEYS = ('seed', 'blur_psnr_db', 'psnr_db', 'gain_db', 'ssim', 'iteration_ms', 'peak_memory_mib', 'commit')


def _by_seed(runs: dict[int, dict], key: str) -> dict[int, float]:
    return {seed: run[key] for seed, run in runs.items()}


def _stage_ms(runs: Sequence[dict]) -> dict[str, float] | None:
    timed = [run['stage_ms'] for run in runs if run['stage_ms']]
    names = dict.fromkeys(name for stages in timed for name in stages)
    return {name: median(stages.get(name, 0.0) for stages in timed) for name in names} or None
