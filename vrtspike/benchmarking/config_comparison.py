"""Compares the training iterations of several configs."""

from __future__ import annotations

import msgspec
import torch
from mmengine.config import Config

from vrtspike.benchmarking.pairs import Spread, interleaved_ms, load_average, paired_ratio, spread
from vrtspike.benchmarking.peak_memory import memory_in_new_process
from vrtspike.benchmarking.restorer_costs import count_config
from vrtspike.benchmarking.stage_times import StageTimedStep, StepTimes, part_times, stage_times
from vrtspike.benchmarking.training_step import Shape, training_step


class ConfigRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
    # The samples before those of the rounds are of the warm-up.
    samples = {name: step.samples[-rounds:] for name, step in steps.items()} if stages else {}
    costs = {name: count_config(config.model, shape[1:], largest=None) for name, config in configs.items()}
    gmacs = {name: cost.total.macs / 1e9 for name, cost in costs.items()}
    peaks = {name: memory_in_new_process(config, shape, device) for name, config in configs.items()} if memory else {}
    loads = [before, load_average()]
    first, *_ = configs
    return [
        ConfigRow(
            config=name,
            gmacs=gmacs[name],
            expected_saving_share=1 - gmacs[name] / gmacs[first],
            step_ms=spread(times[name]),
            times_ms=times[name],
            saving_share=1 - 1 / paired_ratio(times[first], times[name]).median,
            peak_memory_mib=peaks.get(name),
            stages=stage_times(samples[name]) if stages else None,
            parts=part_times(samples[name]) if stages else None,
            load_average=loads,
        )
        for name in configs
    ]
