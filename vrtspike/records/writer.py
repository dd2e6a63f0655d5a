"""One sampled iteration, and how it is written to ``stage_costs.jsonl`` (see ``stage_costs.schema.json``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vrtspike.profiling.flops import Costs
from vrtspike.profiling.timer import PHASES, Owner

MS_DIGITS = 4
"""Tenths of a microsecond: no clock here tells more."""


@dataclass(frozen=True)
class Sample:
    """What one iteration cost in one process."""

    iteration: int
    iteration_ms: float
    times: dict[Owner, float]
    """Milliseconds by owner; they sum to the iteration's."""
    clips: int
    frames: int
    rank: int = 0
    loss: float | None = None
    memory_mib: float | None = None
    peak_mib: dict[str, float] = field(default_factory=dict)
    allocated_mib: dict[str, float] = field(default_factory=dict)

    def stages(self) -> dict[str, dict[str, float]]:
        """Return the milliseconds by stage and phase, parts included."""
        return self._summed(lambda owner: owner.stage)

    def parts(self) -> dict[str, dict[str, float]]:
        """Return the milliseconds by ``stage/part`` and phase."""
        return self._summed(lambda owner: owner.part and f'{owner.stage}{owner.part}')

    def _summed(self, name_of) -> dict[str, dict[str, float]]:
        summed: dict[str, dict[str, float]] = {}
        for owner, ms in self.times.items():
            name = name_of(owner)
            if name:
                phases = summed.setdefault(name, {})
                phases[owner.phase] = phases.get(owner.phase, 0.0) + ms
        return summed


def sample_record(sample: Sample, order: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the record of a sample, its stages in ``order``; those that ``order`` does not name come last."""
    stages = sample.stages()
    names = [*(name for name in order if name in stages), *(name for name in stages if name not in order)]
    record = {
        'kind': 'sample',
        'iteration': sample.iteration,
        'rank': sample.rank,
        'iteration_ms': round(sample.iteration_ms, MS_DIGITS),
        'clips': sample.clips,
        'frames': sample.frames,
        'loss': sample.loss,
        'memory_mib': sample.memory_mib and round(sample.memory_mib, 1),
        'stages': {name: _phases(stages[name]) | _memory(sample, name) for name in names},
    }
    parts = {name: _phases(phases) for name, phases in sample.parts().items()}
    return record | ({'parts': parts} if parts else {})


def costs_record(costs: Costs) -> dict[str, dict[str, float]]:
    """Return the counts as a record holds them."""
    return {
        name: {
            'gmacs': cost.macs / 1e9,
            'parameters': cost.parameters,
            'activations_m': cost.activations / 1e6,
            'mib': round(cost.bytes / 2**20, 3),
        }
        for name, cost in costs.stages.items()
    }


def _phases(phases: dict[str, float]) -> dict[str, float]:
    return {f'{phase}_ms': round(phases[phase], MS_DIGITS) for phase in PHASES if phase in phases}


def _memory(sample: Sample, stage: str) -> dict[str, float]:
    kinds = {'peak_mib': sample.peak_mib, 'allocated_mib': sample.allocated_mib}
    return {kind: round(values[stage], 1) for kind, values in kinds.items() if stage in values}
