"""The whole search: profile, remedies one by one, quality of those that change the network, all together, report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from mmengine.config import Config

from vrtspike.config import load_config
from vrtspike.engine.training import check_schedules, wants_cpu_overrides
from vrtspike.experiments.runs import digest
from vrtspike.runtime.environment import describe_environment
from vrtspike.tuner.candidates import EXACT, KINDS, PRECISION, Overrides, published_path, reads_data, remedies_for
from vrtspike.tuner.extending import Combination, extend, may_be_added
from vrtspike.tuner.measuring import Measurer, loader_of, shape_of
from vrtspike.tuner.output_config import GIVEN, reasons_of, write_child
from vrtspike.tuner.profile import bottlenecks_of, profile, shares_of
from vrtspike.tuner.quality import QualityMeasurer, acceptable
from vrtspike.tuner.report import write_reports
from vrtspike.tuner.search import (
    Difference,
    Measure,
    Trial,
    affordable,
    changes_network,
    combine,
    is_known,
    name_of,
    settle,
    step_of,
    together,
    try_singly,
    winners,
)

SPEED_SHARE = 0.5
"""Of the time, what the remedies alone may take where quality is to be measured too."""

PROFILE_KEYS = ('run', 'roofline', 'iteration_ms', 'stages')


class Quality(Protocol):
    """What measures dB; see :class:`~vrtspike.tuner.quality.QualityMeasurer`."""

    missing: str
    failures: dict[str, str]
    seconds_left: Callable[[], float]

    def __call__(self, trials: Sequence[Trial], reserve: int = 0) -> dict[str, Difference]: ...

    def record(self) -> dict[str, Any] | None: ...


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
    """Search, write everything into the folder, and return what ``report.json`` holds.

    Raises:
        ConfigError: The config does not load or train, or has a schedule that begins after ``wishes.iterations``.
    """
    end = time.monotonic() + 60 * wishes.minutes
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    cpu = wants_cpu_overrides(refused=wishes.full_length)
    load = loader_of(wishes.config, wishes.common, list(wishes.plugins), cpu)
    default = load({})
    shape = shape_of(default)
    trained = load(length_of(wishes))
    check_schedules(trained)  # now, and not when the first training for quality begins
    say('profile')
    profiled = profile(default, wishes.folder / 'profile', train_tool)
    bottlenecks = bottlenecks_of(profiled, wishes.objective)
    shares = shares_of(bottlenecks)
    measurer = Measurer(wishes.config, load, shape, device, wishes.objective, wishes.folder / 'trials')
    measure = announcing(measurer, say)
    published = published_path(default)
    speed_end = end - (end - time.monotonic()) * (1 - SPEED_SHARE)
    found = {
        'config': Path(wishes.config).stem, 'config_path': wishes.config, 'objective': wishes.objective,
        'shape': list(measurer.shape), 'cpu_overrides': bool(default.get('applied_cpu_overrides')),
        'max_loss_db': wishes.max_loss_db, 'memory_gib': wishes.memory_gib, 'minutes': wishes.minutes,
        'common': dict(wishes.common), 'plugins': list(wishes.plugins),
        'iterations': wishes.iterations, 'seeds': list(wishes.seeds),
        'command': list(wishes.command), 'full_length': wishes.full_length,
        'folder': str(wishes.folder), **describe_environment(device),
        'profile': {'bottlenecks': bottlenecks, **{key: profiled[key] for key in PROFILE_KEYS}},
        'default_memory_mib': measurer.default_memory(),
        'published': measure('published_path', published) if published else None,
    }  # fmt: skip
    remedies = remedies_for(default, device, shares, wishes.objective)
    trials = try_singly(remedies, shares, measure, lambda: time.monotonic() < speed_end)
    quality = quality_measurer(wishes, trained, train_tool, lambda: end - time.monotonic(), say)
    found |= choose(trials, measure, quality, wishes, found['default_memory_mib'])
    found['output'] = write_output(wishes, found.pop('kept'))
    write_reports(found, wishes.folder)
    return found


def choose(
    trials: list[Trial], measure: Measure, quality: Quality, wishes: Wishes, default_mib: float | None = None
) -> dict[str, Any]:
    """Learn what the remedies that save time cost in dB, and combine what pays.

    Of fewer bits the best remedy is trained, before the network that saves most: it is what everyone turns on first.
    The other networks are trained with what is kept by then, see :func:`~vrtspike.tuner.extending.extend`. Where
    nothing pays and the default needs more memory than there is, what computes the same and fits is taken, even
    if it takes longer.

    Returns:
        ``trials`` with what was learnt, ``kept`` among them, ``steps`` of the combination, ``together_db`` (of all that
        was kept; None: not known), the ``quality`` record, ``no_quality``, why it tells nothing, and
        the ``failures`` of trainings by name.
    """

    def allowed(trial: Trial) -> bool:
        return fits(trial, wishes.memory_gib)

    fewer_bits = winners(trials, lambda trial: trial['kind'] == PRECISION and allowed(trial))[:1]
    changed = winners(trials, lambda trial: changes_network(trial) and allowed(trial))[:1]
    lossy = [*fewer_bits, *changed]
    known = dict(quality(to_train(lossy, wishes), reserve=1 if len(lossy) > 1 else 0)) if lossy else {}
    tried_any = any(trial['kind'] != EXACT and 'saving' in trial for trial in trials)
    no_quality = quality.missing if lossy else 'no_changes' if tried_any else 'none_tried'
    trials = [{**trial, 'difference_db': known.get(trial['name'])} for trial in trials]
    too_few_bits = [
        trial
        for trial in trials
        if trial['kind'] == PRECISION
        and is_known(trial['difference_db'])
        and not affordable(trial['difference_db'], wishes.max_loss_db)
    ]

    def takes_too_few_bits(trial: Trial) -> bool:
        return any(each['overrides'].items() <= trial['overrides'].items() for each in too_few_bits)

    taken = winners(
        trials,
        lambda trial: allowed(trial) and acceptable(trial, wishes.max_loss_db) and not takes_too_few_bits(trial),
    )
    # What computes the same function comes first: it costs nothing. Before all, how data is read: what is measured
    # together with it waits for data too.
    taken.sort(key=lambda trial: (KINDS.index(trial['kind']), not reads_data(trial['overrides'])))

    def quality_of(parts: Sequence[Trial]) -> Difference | None:
        if no_quality in ('no_gain', 'no_reference'):
            return None
        parts = [part for part in parts if part['kind'] != EXACT]  # the others change no dB
        name = name_of(parts)
        saving = 1 - math.prod(1 - part['saving'] for part in parts)
        known.update(quality(to_train([{'name': name, 'overrides': together(parts), 'saving': saving}], wishes)))
        return known.get(name)

    combined = Combination(
        *settle(taken, lambda left: combine(left, measure, allowed), quality_of, wishes.max_loss_db)
    )  # fmt: skip
    if combined.difference:
        next(step for step in reversed(combined.steps) if step['kept'])['difference_db'] = combined.difference
    # Where the reference gains too little, or in too few seeds, no training could tell anything.
    tells = any(is_known(each) or name in quality.failures for name, each in known.items())
    of_unknown_quality = any(trial['kind'] != EXACT for trial in combined.kept) and not is_known(combined.difference)
    if tells and not of_unknown_quality:
        extend(
            combined, [trial for trial in trials if may_be_added(trial)], measure, allowed, quality_of,
            wishes.max_loss_db, lambda: quality.seconds_left() > 0,
        )  # fmt: skip
    if not combined.kept and not fits({'peak_memory_mib': default_mib}, wishes.memory_gib):
        combined.kept = fastest_that_fits(trials, allowed)
        combined.steps += [{**trial, **step_of([trial]), 'kept': True} for trial in combined.kept]
    trials = [{**trial, 'difference_db': known.get(trial['name'])} for trial in trials]  # some were trained since
    return {
        'trials': trials, 'kept': combined.kept, 'steps': combined.steps, 'together_db': combined.difference,
        'quality': quality.record(), 'no_quality': no_quality, 'failures': dict(quality.failures),
    }  # fmt: skip


def to_train(trials: Sequence[Trial], wishes: Wishes) -> list[Trial]:
    """Return trials with the share that their trainings save; what restoring saves tells nothing of that."""
    return [trial if wishes.objective == 'train' else {**trial, 'saving': 0.0} for trial in trials]


def fastest_that_fits(trials: Sequence[Trial], allowed: Callable[[Trial], bool]) -> list[Trial]:
    """Return the fastest trial that computes the same function and is known to fit; empty without one."""
    fitting = [trial for trial in trials if trial['kind'] == EXACT and trial.get('peak_memory_mib') and allowed(trial)]
    return sorted(fitting, key=lambda trial: -trial['saving'])[:1]


def quality_measurer(
    wishes: Wishes, trained: Config, train_tool: Path, seconds_left: Callable[[], float], say: Callable[[str], None]
) -> QualityMeasurer:
    """Return what trains as the user wishes; ``trained`` is the default config at the length of these trainings.

    Trainings of another length, or of a config that was edited since, are in another folder: they do not compare.
    """
    common = {**wishes.common, **length_of(wishes)}
    folder = wishes.folder / 'quality' / digest(trained)
    return QualityMeasurer(
        wishes.config, common, wishes.plugins, wishes.seeds, folder, train_tool, wishes.full_length,
        seconds_left, say,
    )  # fmt: skip


def length_of(wishes: Wishes) -> Overrides:
    """Return what sets the length of a training for quality."""
    return {'train_cfg.max_iters': wishes.iterations} if wishes.iterations else {}


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


def write_output(wishes: Wishes, kept: Sequence[Trial]) -> dict[str, Any]:
    """Write the optimised config; return its ``path``, ``text`` and ``overrides``."""
    name = Path(wishes.config).stem
    path = wishes.folder / f'{name}_optimized.py'
    overrides = {**wishes.common, **together(kept)}
    reasons = {**dict.fromkeys(wishes.common, GIVEN), **reasons_of(kept)}
    heading = f'{name}, optimised by measurement: report.md beside this file has every trial.'
    text = write_child(path, wishes.config, overrides, reasons, heading)
    load_config(path, plugins=wishes.plugins)
    return {'path': str(path), 'text': text, 'overrides': overrides}
