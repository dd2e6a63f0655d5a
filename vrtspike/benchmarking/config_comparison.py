"""Compares the training iterations of several configs."""

from __future__ import annotations

import msgspec
import torch
from mmengine.config import Config

from vrtspike.benchmarking.pairs import Spread, interleaved_ms, load_average, paired_ratio, spread
from vrtspike.benchmarking.peak_memory import memory_in_new_process
from vrtspike.benchmarking.restorer_costs import count_config
from vrtspike.benchmarking.training_step import Shape, TrainingStep, training_step
from vrtspike.profiling.sampler import StageSampler
from vrtspike.records.stage_costs import Sample
from vrtspike.records.writer import MS_DIGITS

PhaseTimes = list[dict[str, dict[str, float]]]
"""Milliseconds by name and phase, one dict per sample."""


class StepTimes(msgspec.Struct, frozen=True):
    """Milliseconds of a stage or part, one value per round."""

    forward_ms: list[float]
    total_ms: list[float]


class ConfigRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was measured of one config. The fields are the keys of the record."""

    config: str
    gmacs: float
    """Of one clip's forward pass."""
    expected_saving_share: float
    """Fraction of the baseline's arithmetic that is saved."""
    step_ms: Spread
    times_ms: list[float]
    saving_share: float
    """Fraction of the baseline's time that is saved, from the median of the ratios within the rounds."""
    peak_memory_mib: float | None
    stages: dict[str, StepTimes] | None = None
    parts: dict[str, StepTimes] | None = None
    """By the name of the part, summed over all stages."""
    load_average: list[float | None]
    """Before and after the measurement."""


def compare_configs(
    configs: dict[str, Config],
    shape: Shape,
    rounds: int,
    device: torch.device,
    memory: bool = True,
    stages: bool = False,
) -> list[ConfigRow]:
    """Measure one training iteration of each config per round and return one row per config.

    Args:
        configs: Loaded configs by name. The first is the baseline.
        shape: (B, T, H, W) of the clips.
        rounds: Number of timed iterations of each config.
        device: Where to measure.
        memory: Whether to also measure the peak memory of one iteration, in a new process.
        stages: Whether to also time the stages and parts of every step.
    """
    before = load_average()
    steps = {name: training_step(config, shape, device) for name, config in configs.items()}
    if stages:
        steps = {name: StageTimedStep(step) for name, step in steps.items()}
    times = interleaved_ms(steps, rounds, device)
    costs = {name: count_config(config.model, shape[1:], largest=None) for name, config in configs.items()}
    gmacs = {name: cost.total.macs / 1e9 for name, cost in costs.items()}
    first, *_ = configs
    rows = [
        ConfigRow(
            config=name,
            gmacs=gmacs[name],
            expected_saving_share=1 - gmacs[name] / gmacs[first],
            step_ms=spread(times[name]),
            times_ms=times[name],
            saving_share=1 - 1 / paired_ratio(times[first], times[name]).median,
            peak_memory_mib=memory_in_new_process(config, shape, device) if memory else None,
            load_average=[],
        )
        for name, config in configs.items()
    ]
    for row in rows:
        if stages:
            samples = steps[row.config].samples[-rounds:]  # those before were warm-up
            row.stages, row.parts = stage_times(samples), part_times(samples)
        row.load_average = [before, load_average()]
    return rows


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
