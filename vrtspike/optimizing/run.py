"""The whole search: profile, remedies one by one, quality of those that change the network, all together, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vrtspike.config.difference import code
from vrtspike.engine.training import wants_cpu_overrides
from vrtspike.environment import describe_environment
from vrtspike.optimizing.measuring import Measurer, loader_of, shape_of
from vrtspike.optimizing.output_config import nested, write_optimized
from vrtspike.optimizing.profile import profile, shares_of
from vrtspike.optimizing.quality import affordable, differences, measure_quality
from vrtspike.optimizing.remedies import Overrides, published_path, remedies_for
from vrtspike.optimizing.report import write_reports
from vrtspike.optimizing.search import Trial, changes_network, combine, try_singly, winners
from vrtspike.profiling.comparing import memory_in_new_process

SPEED_SHARE = 0.5
"""Of the time, what the remedies alone may take where quality is to be measured too."""

QUALITY_TRIALS = 3
"""How many networks that save most are trained."""


@dataclass(frozen=True)
class Wishes:
    """What the user asks for.

    Args:
        config: The config's file.
        common: Overrides of everything, the default included.
        plugins: Plugins to load.
        minutes: Budget of the search.
        max_loss_db: Most that a changed network may lose.
        memory_gib: Most that a training step may hold; None: any.
        objective: 'train' or 'infer'.
        iterations: Of a training for quality; None takes the config's.
        seeds: Of these trainings.
        folder: Where everything goes.
        full_length: Whether ``cpu_overrides`` are refused.
        command: How the user called it.
    """

    config: str
    common: Overrides
    plugins: Sequence[str]
    minutes: float
    max_loss_db: float
    memory_gib: float | None
    objective: str
    iterations: int | None
    seeds: Sequence[int]
    folder: Path
    full_length: bool
    command: Sequence[str]


def optimize(wishes: Wishes, train_tool: Path, say: Callable[[str], None] = lambda what: None) -> dict[str, Any]:
    """Search, write everything into the folder, and return what ``report.json`` holds."""
    end = time.monotonic() + 60 * wishes.minutes
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    cpu = wants_cpu_overrides(refused=wishes.full_length)
    load = loader_of(wishes.config, wishes.common, list(wishes.plugins), cpu)
    default = load({})
    say('profile')
    profiled = profile(default, wishes.folder, train_tool)
    shares = shares_of(profiled)
    measure = Measurer(
        wishes.config, load, shape_of(default), device, wishes.objective, wishes.folder / 'trials'
    )  # fmt: skip
    announced = announcing(measure, say)
    reference = published_path(default)
    published = announced('published_path', reference) if reference else None
    remedies = remedies_for(default, device, shares, wishes.objective)
    speed_end = end - (end - time.monotonic()) * (1 - SPEED_SHARE)
    trials = try_singly(remedies, shares, announced, lambda: time.monotonic() < speed_end)

    changed = winners(trials, lambda trial: changes_network(trial) and fits(trial, wishes.memory_gib))[:QUALITY_TRIALS]
    quality = None
    if changed:
        common = {**wishes.common, **({'train_cfg.max_iters': wishes.iterations} if wishes.iterations else {})}
        quality = measure_quality(
            wishes.config, changed, common, wishes.seeds, wishes.folder / 'quality', train_tool, wishes.full_length,
            lambda: end - time.monotonic(), say,
        )  # fmt: skip
    known = differences(quality)
    trials = [{**trial, 'difference_db': known.get(trial['name'])} for trial in trials]
    taken = winners(trials, lambda trial: fits(trial, wishes.memory_gib) and (
        not changes_network(trial) or affordable(trial['difference_db'], wishes.max_loss_db)))  # fmt: skip
    # Exact remedies first: they cost nothing.
    taken.sort(key=changes_network)
    kept, steps = combine(taken, announced, lambda: True)
    found = {
        'config': Path(wishes.config).stem, 'config_path': wishes.config, 'objective': wishes.objective,
        'shape': list(measure.shape), 'cpu_overrides': bool(default.get('applied_cpu_overrides')),
        'max_loss_db': wishes.max_loss_db, 'memory_gib': wishes.memory_gib, 'minutes': wishes.minutes,
        'command': list(wishes.command), 'folder': str(wishes.folder), **describe_environment(device),
        'profile': {key: profiled[key] for key in ('bottlenecks', 'roofline', 'iteration_ms', 'stages')},
        'default_memory_mib': memory_in_new_process(default, measure.shape, device),
        'published': published, 'trials': trials, 'steps': steps, 'quality': quality,
        'no_quality': 'no_time' if changed else 'no_changes',
        'output': write_output(wishes, kept, steps),
    }  # fmt: skip
    write_reports(found, wishes.folder)
    return found


def announcing(measure: Callable[[str, Overrides], Trial], say: Callable[[str], None]) -> Callable[..., Trial]:
    """Return ``measure`` that says what it measures."""

    def announced(name: str, overrides: Overrides) -> Trial:
        say(name)
        return measure(name, overrides)

    return announced


def fits(trial: Trial, memory_gib: float | None) -> bool:
    """Whether a trial needs no more memory than there is; one of unknown memory does."""
    needed = trial.get('peak_memory_mib')
    return memory_gib is None or needed is None or needed <= memory_gib * 1024


def write_output(wishes: Wishes, kept: Overrides, steps: list[Trial]) -> dict[str, Any]:
    """Write the optimised config; return its ``path``, ``text`` and ``overrides``."""
    name = Path(wishes.config).stem
    path = wishes.folder / f'{name}_optimized.py'
    heading = f'{name}, optimised by measurement: report.md beside this file has every trial.'
    write_optimized(path, wishes.config, kept, steps, heading)
    return {'path': str(path), 'text': path.read_text(encoding='utf-8'), 'overrides': code(nested(kept))}
