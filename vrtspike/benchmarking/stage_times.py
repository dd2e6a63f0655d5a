"""Times of the stages and parts of a training iteration that runs several times."""

from __future__ import annotations

import msgspec

from vrtspike.benchmarking.training_step import TrainingStep
from vrtspike.profiling.sampler import StageSampler
from vrtspike.records.stage_costs import Sample
from vrtspike.records.writer import MS_DIGITS

PhaseTimes = list[dict[str, dict[str, float]]]
"""Milliseconds by name and phase, one dict per sample."""


class StepTimes(msgspec.Struct, frozen=True):
    """Milliseconds of a stage or part, one value per round."""

    forward_ms: list[float]
    total_ms: list[float]


class StageTimedStep:
    """A training iteration whose stages are timed at every call.

    Args:
        step: The training iteration to run.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self.sampler = StageSampler(step.model)
        self.samples: list[Sample] = []

    def __call__(self) -> None:
        self.sampler.start()
        self.sampler.batch_arrived()
        self.step()
        self.sampler.backward_over()
        self.sampler.optimizer_over()
        self.sampler.stop(iteration=len(self.samples) + 1, clips=1, frames=1)
        self.samples += self.sampler.wait()


def stage_times(samples: list[Sample]) -> dict[str, StepTimes]:
    """Return the times of every stage."""
    times = [sample.stages() for sample in samples]
    return {name: _summed(times, {name}) for name in _names(times)}


def part_times(samples: list[Sample]) -> dict[str, StepTimes]:
    """Return the times of every part, summed over all stages."""
    times = [sample.parts() for sample in samples]
    parts = dict.fromkeys(name.partition('/')[2] for name in _names(times))
    return {part: _summed(times, {name for name in _names(times) if name.endswith(f'/{part}')}) for part in parts}


def _names(times: PhaseTimes) -> dict[str, None]:
    return dict.fromkeys(name for sample in times for name in sample)


def _summed(times: PhaseTimes, names: set[str]) -> StepTimes:
    """Return the sums over some stages or parts, one per sample."""
    chosen = [[phases for name, phases in sample.items() if name in names] for sample in times]
    return StepTimes(
        [round(sum(phases.get('forward', 0.0) for phases in each), MS_DIGITS) for each in chosen],
        [round(sum(sum(phases.values()) for phases in each), MS_DIGITS) for each in chosen],
    )
