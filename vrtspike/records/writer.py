"""Writes the lines of ``stage_costs.jsonl``."""

from __future__ import annotations

import math

import msgspec

from vrtspike.records.stage_costs import PHASES, RunLine, Sample, SampleLine, StageTimes, Times

MS_DIGITS = 4
"""Tenths of a microsecond. No clock here is more precise."""

MIB_DIGITS = 1

encode = msgspec.json.Encoder().encode


def line_of(record: RunLine | SampleLine) -> str:
    """Return a record as one line of JSON, with the line's end."""
    return encode(record).decode() + '\n'


def sample_line(sample: Sample, order: tuple[str, ...] = ()) -> SampleLine:
    """Return the record of a sample with its stages in the given order; stages not named there come last."""
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
    )


def _rounded(phases: dict[str, float]) -> dict[str, float]:
    return {f'{phase}_ms': round(phases[phase], MS_DIGITS) for phase in PHASES if phase in phases}


def _known(amounts: dict[str, float], stage: str, digits: int) -> float:
    """Return the amount of a stage. If it is not known, this is the field's default, which is not written."""
    return round(amounts[stage], digits) if stage in amounts else math.nan
