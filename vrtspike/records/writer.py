"""Writes the lines of ``stage_costs.jsonl``."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from vrtspike.records.stage_costs import PHASES, Sample, SampleLine, StageTimes, Times, Utilisation
from vrtspike.records.utilisation import SampleUtilisation

MS_DIGITS = 4
"""Tenths of a microsecond. No clock here is more precise."""

MIB_DIGITS = 1

encode = msgspec.json.Encoder().encode


def line_of(record: msgspec.Struct) -> str:
    """Return a record as one line of JSON, with the line's end."""
    return encode(record).decode() + '\n'


def sample_line(sample: Sample, order: tuple[str, ...] = (), used: SampleUtilisation | None = None) -> SampleLine:
    """Return the record of a sample.

    Args:
        sample: The sample.
        order: The order of its stages; those not named there come last.
        used: Its utilisation, if it is known.
    """
    stages = sample.stages()
    names = [*(name for name in order if name in stages), *(name for name in stages if name not in order)]
    return SampleLine(
        iteration=sample.iteration,
        rank=sample.rank,
        iteration_ms=round(sample.iteration_ms, MS_DIGITS),
        clips=sample.clips,
        frames=sample.frames,
        loss=sample.loss,
        memory_mib=sample.memory_mib and round(sample.memory_mib, MIB_DIGITS),
        stages={
            name: StageTimes(
                **_rounded(stages[name]),
                peak_mib=_known(sample.peak_mib, name, MIB_DIGITS),
                allocated_mib=_known(sample.allocated_mib, name, MIB_DIGITS),
                host_bound_ms=_known(sample.host_bound_ms, name, MS_DIGITS),
            )
            for name in names
        },
        parts={name: Times(**_rounded(phases)) for name, phases in sample.parts().items()},
        **({} if used is None else _utilisation(used)),
    )


def _rounded(phases: dict[str, float]) -> dict[str, float]:
    return {f'{phase}_ms': round(phases[phase], MS_DIGITS) for phase in PHASES if phase in phases}


def _utilisation(used: SampleUtilisation) -> dict[str, Any]:
    whole = _rounded_utilisation(used.iteration)
    stages = {name: _rounded_utilisation(each) for name, each in used.stages.items()}
    return {'mfu': whole.mfu, **({} if whole.hfu is None else {'hfu': whole.hfu}), 'utilisation': stages}


def _rounded_utilisation(used: Utilisation) -> Utilisation:
    """Return it with four significant digits: small ones do not become 0, which would mean idle."""
    mfu, hfu = (None if value is None else float(f'{value:.4g}') for value in (used.mfu, used.hfu))
    return Utilisation(mfu, hfu)


def _known(amounts: dict[str, float], stage: str, digits: int) -> float:
    """Return the amount of a stage. If it is not known, this is the field's default, which is not written."""
    return round(amounts[stage], digits) if stage in amounts else math.nan
