"""What a faster network costs in dB: short trainings of all variants alike, several seeds, as an ablation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vrtspike.ablation.record import record_of
from vrtspike.ablation.runs import Run, resolve, train_all
from vrtspike.ablation.statistics import NOT_INFORMATIVE
from vrtspike.ablation.variants import REFERENCE, Variant
from vrtspike.optimizing.remedies import Overrides
from vrtspike.optimizing.search import Trial


def measure_quality(
    config: str,
    trials: Sequence[Trial],
    common: Overrides,
    seeds: Sequence[int],
    folder: Path,
    train_tool: Path,
    full_length: bool,
    seconds_left: Callable[[], float],
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, Any] | None:
    """Train the default and the trials' configs, seed by seed, and return the record; None where time is too short.

    Finished runs are not repeated. A run is begun only if one as long as the longest so far would end in time; without
    the reference's first run there is nothing to learn.

    Args:
        config: The config's file.
        trials: With ``name`` and ``overrides``.
        common: Overrides of all, the number of iterations among them.
        seeds: Of weights and data; a difference needs three.
        folder: Of the runs.
        train_tool: ``tools/train.py``.
        full_length: Whether the config's ``cpu_overrides`` are refused.
        seconds_left: Of the budget.
        progress: Called with what is trained.
    """
    variants = [Variant(REFERENCE), *(Variant(trial['name'], trial['overrides']) for trial in trials)]
    runs = [Run(variant, seed, folder) for seed in seeds for variant in variants]
    failures: dict[str, str] = {}
    longest = 0.0
    for run in runs:
        if run.variant.name in failures:
            continue
        if not run.report.is_file():
            if seconds_left() < longest or seconds_left() <= 0:
                break
            progress(f'{run.variant.name}, seed {run.seed}')
        began = time.monotonic()
        failures |= train_all([run], lambda v: resolve(v, config, common, [], full_length), train_tool)
        longest = max(longest, time.monotonic() - began)
    if not runs[0].report.is_file():
        return None
    return record_of(variants, runs, failures, config, common)


def differences(record: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return ``mean``, ``low``, ``high`` and ``verdict`` in dB by trial."""
    if record is None:
        return {}
    return {row['name']: row['difference_db'] for row in record['variants'] if row['difference_db']}


def affordable(found: dict[str, Any] | None, max_loss_db: float) -> bool:
    """Whether a difference was measured well enough to tell, and loses no more than is allowed."""
    return bool(found) and found['verdict'] != NOT_INFORMATIVE and -found['mean'] <= max_loss_db
