"""The whole search: profile, candidates alone, quality, the best together, reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from mmengine.config import Config

from vrtspike.candidates import Overrides
from vrtspike.config import load_config
from vrtspike.engine.training import check_schedules, wants_cpu_overrides
from vrtspike.experiments.runs import digest
from vrtspike.runtime.device import chosen_device
from vrtspike.runtime.environment import describe_environment
from vrtspike.tuner.choosing import choose
from vrtspike.tuner.measuring import Measurer, loader_of, shape_of
from vrtspike.tuner.output_config import GIVEN, reasons_of, write_child
from vrtspike.tuner.profile import profile
from vrtspike.tuner.quality import QualityMeasurer
from vrtspike.tuner.record import OutputConfig, SearchOptions, SearchRecord
from vrtspike.tuner.report import write_reports
from vrtspike.tuner.search import Combination, together, try_singly
from vrtspike.tuner.setting import candidates_of, published_path
from vrtspike.tuner.trials import Failed, Measured

SPEED_SHARE = 0.5
"""Share of the time after the profile that measuring the candidates alone may take; the rest is for their quality."""

Announce = Callable[[str], None]
"""Tells the user what is measured now."""


def optimize(options: SearchOptions, train_tool: Path, announce: Announce = lambda text: None) -> SearchRecord:
    """Search, write everything into the folder, and return what was found.

    Raises:
        ConfigError: The config does not load or train, or has a schedule that begins after ``options.iterations``.
    """
    end = time.monotonic() + 60 * options.minutes
    folder = Path(options.folder)
    device = chosen_device()
    use_cpu_overrides = wants_cpu_overrides(refused=options.full_length)
    load = loader_of(options.config_path, options.shared_overrides, options.plugins, use_cpu_overrides)
    default = load({})
    shape = shape_of(default)
    trained = load(options.training_length)
    check_schedules(trained)  # now, not when the first training for quality begins
    announce('profile')
    profiled = profile(default, folder / 'profile', train_tool, options.objective)
    speed_end = end - (1 - SPEED_SHARE) * (end - time.monotonic())
    measurer = Measurer(options.config_path, load, shape, device, options.objective, folder / 'trials')

    def measure(name: str, overrides: Overrides) -> Measured | Failed:
        announce(name)
        return measurer(name, overrides)

    default_memory = measurer.default_memory()
    published = published_path(default)
    published_result = measure('published_path', published) if published else None
    candidates = candidates_of(default, device, profiled.shares, options.objective)
    trials = try_singly(candidates, profiled.shares, measure, lambda: time.monotonic() < speed_end)
    trainings = quality_folder(options, trained)
    quality = QualityMeasurer(options, trainings, train_tool, lambda: end - time.monotonic(), announce)
    choice = choose(trials, measure, quality, options, default_memory)
    record = SearchRecord(
        **msgspec.structs.asdict(options),
        config=Path(options.config_path).stem,
        shape=list(shape),
        cpu_overrides=bool(default.get('applied_cpu_overrides')),
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
    write_reports(record, folder)
    return record


def quality_folder(options: SearchOptions, trained: Config) -> Path:
    """Return the folder of a config's trainings. Other lengths or an edited config get another folder."""
    return Path(options.folder) / 'quality' / digest(trained)


def write_output(options: SearchOptions, combination: Combination) -> OutputConfig:
    """Write the optimised config and return it."""
    name = Path(options.config_path).stem
    path = Path(options.folder) / f'{name}_optimized.py'
    overrides = {**options.shared_overrides, **together(combination.kept)}
    reasons = dict.fromkeys(options.shared_overrides, GIVEN) | reasons_of(combination.kept, combination.trained_steps)
    heading = f'{name}, optimised by measurement: report.md beside this file has every trial.'
    text = write_child(path, options.config_path, overrides, reasons, heading)
    load_config(path, plugins=options.plugins)
    return OutputConfig(path=str(path), text=text, overrides=overrides)
