"""The whole search: profile, candidates alone, quality, the best together, reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmengine.config import Config

from vrtspike.candidates import Overrides
from vrtspike.config import load_config
from vrtspike.engine.training import check_schedules, wants_cpu_overrides
from vrtspike.experiments.runs import digest
from vrtspike.runtime.environment import describe_environment
from vrtspike.tuner.choosing import choose
from vrtspike.tuner.measuring import Measurer, loader_of, shape_of
from vrtspike.tuner.options import SearchOptions
from vrtspike.tuner.output_config import GIVEN, reasons_of, write_child
from vrtspike.tuner.profile import profile
from vrtspike.tuner.quality import QualityMeasurer
from vrtspike.tuner.record import OutputConfig, SearchRecord
from vrtspike.tuner.report import write_reports
from vrtspike.tuner.search import Combination, Measure, together, try_singly
from vrtspike.tuner.setting import candidates_of, published_path
from vrtspike.tuner.trials import Failed, Measured

SPEED_SHARE = 0.5
"""Share of the time after the profile that measuring the candidates alone may take; the rest is for their quality."""

Announce = Callable[[str], None]
"""Tells the user what is being done."""


def optimize(options: SearchOptions, train_tool: Path, announce: Announce = lambda text: None) -> SearchRecord:
    """Search, write everything into the folder, and return what was found.

    Raises:
        ConfigError: The config does not load or train, or has a schedule that begins after ``options.iterations``.
    """
    end = time.monotonic() + 60 * options.minutes
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    use_cpu_overrides = wants_cpu_overrides(refused=options.full_length)
    load = loader_of(options.config, options.shared_overrides, list(options.plugins), use_cpu_overrides)
    default = load({})
    shape = shape_of(default)
    trained = load(options.training_length)
    check_schedules(trained)  # now, not when the first training for quality begins
    announce('profile')
    profiled = profile(default, options.folder / 'profile', train_tool, options.objective)
    speed_end = end - (1 - SPEED_SHARE) * (end - time.monotonic())
    measurer = Measurer(options.config, load, shape, device, options.objective, options.folder / 'trials')
    measure = announcing(measurer, announce)
    default_memory = measurer.default_memory()
    published = published_path(default)
    published_result = measure('published_path', published) if published else None
    candidates = candidates_of(default, device, profiled.shares, options.objective)
    trials = try_singly(candidates, profiled.shares, measure, lambda: time.monotonic() < speed_end)
    quality = quality_measurer(options, trained, train_tool, lambda: end - time.monotonic(), announce)
    choice = choose(trials, measure, quality, options, default_memory)
    record = SearchRecord(
        config=Path(options.config).stem,
        config_path=options.config,
        objective=options.objective,
        shape=list(shape),
        cpu_overrides=bool(default.get('applied_cpu_overrides')),
        max_loss_db=options.max_loss_db,
        memory_gib=options.memory_gib,
        minutes=options.minutes,
        shared_overrides=dict(options.shared_overrides),
        plugins=list(options.plugins),
        iterations=options.iterations,
        seeds=list(options.seeds),
        command=list(options.command),
        full_length=options.full_length,
        folder=str(options.folder),
        **describe_environment(device),
        profile=profiled,
        default_memory_mib=default_memory,
        published=published_result,
        trials=choice.trials,
        steps=choice.combination.steps,
        together_db=choice.combination.difference,
        quality=quality.record(),
        why_unknown=choice.why_unknown,
        failures=dict(quality.failures),
        output=write_output(options, choice.combination),
    )
    write_reports(record, options.folder)
    return record


def quality_measurer(
    options: SearchOptions,
    trained: Config,
    train_tool: Path,
    seconds_left: Callable[[], float],
    announce: Announce,
) -> QualityMeasurer:
    """Return what trains as the user asks; ``trained`` is the default config at the length of these trainings.

    Trainings of another length, or of a config that was edited since, do not compare. They are in another folder.
    """
    return QualityMeasurer(
        config=options.config,
        shared_overrides={**options.shared_overrides, **options.training_length},
        plugins=options.plugins,
        seeds=options.seeds,
        folder=options.folder / 'quality' / digest(trained),
        train_tool=train_tool,
        full_length=options.full_length,
        seconds_left=seconds_left,
        announce=announce,
    )


def announcing(measure: Measure, announce: Announce) -> Measure:
    """Return ``measure`` such that it announces what it measures."""

    def announced(name: str, overrides: Overrides) -> Measured | Failed:
        announce(name)
        return measure(name, overrides)

    return announced


def write_output(options: SearchOptions, combination: Combination) -> OutputConfig:
    """Write the optimised config and return it."""
    name = Path(options.config).stem
    path = options.folder / f'{name}_optimized.py'
    overrides = {**options.shared_overrides, **together(combination.kept)}
    given: Mapping[str, str] = dict.fromkeys(options.shared_overrides, GIVEN)
    reasons = {**given, **reasons_of(combination.kept, combination.trained_steps)}
    heading = f'{name}, optimised by measurement: report.md beside this file has every trial.'
    text = write_child(path, options.config, overrides, reasons, heading)
    load_config(path, plugins=options.plugins)
    return OutputConfig(path=str(path), text=text, overrides=overrides)
