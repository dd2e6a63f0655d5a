"""Trains the network of a config, with the options of the command line."""

from __future__ import annotations

import gc
import json
import logging
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from vrtspike.config.hooks import set_default_hook
from vrtspike.engine.data_parallel import configure_data_parallel
from vrtspike.engine.out_of_memory import is_out_of_memory, out_of_memory_report, smaller_candidates
from vrtspike.engine.run_folder import (
    AUTO,
    LATEST,
    choose_work_dir,
    newest_checkpoint,
    newest_whole_checkpoint,
    remove_leftovers,
)
from vrtspike.engine.training_errors import explained_errors
from vrtspike.errors import CheckpointError, ConfigError, TrainingError
from vrtspike.models.weights import LoadReport, load_matching, read_weights
from vrtspike.native.allocator import allocate_tensors_with_malloc
from vrtspike.reporting.table import Table
from vrtspike.runtime.atomic_write import write_text
from vrtspike.runtime.checkpoint_files import load_checkpoint_file, use_safe_checkpoints
from vrtspike.runtime.distributed import broadcast, process_group, unwrap_model

LOADED_NAMES = 'loaded_weights.json'
"""File of the run's folder: ``loaded``, ``adapted``, ``fresh`` and ``unused``, each a list of names of tensors."""


LoadedWeights = dict[str, dict[str, torch.Tensor]]
"""Weights that were read before training, by path; taken out when used, so that they take no memory afterwards."""


def train(
    config: Config,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    load_from: str | None = None,
    trust_checkpoint: bool = False,
    launcher: str = 'none',
) -> Runner:
    """Train as a resolved config describes, and return the Runner.

    Args:
        config: From :func:`vrtspike.config.load_config`.
        work_dir: Folder of the run; None takes the config's, or a new one under ``work_dirs/``.
        resume: A checkpoint to resume, :data:`LATEST`, or :data:`AUTO`: the latest one if there is any.
        load_from: A checkpoint with initial weights, which may be another network's. Weights that fit are loaded.
        trust_checkpoint: Unpickle checkpoints that hold more than weights.
        launcher: 'none', 'pytorch' or 'slurm'.

    Raises:
        CheckpointError: A checkpoint is missing or unsafe, or the run's folder has checkpoints already.
        TrainingError: Non-finite numbers, no memory, a full disk or a dead worker ended it.
        TrainingStopped: The training was asked to stop and has saved a checkpoint.
        ConfigError: Both ``resume`` and ``load_from`` are given, or a schedule begins after the last iteration.
    """
    if resume and load_from:
        raise ConfigError('--resume continues a run and --load-from starts one: give one of them')
    check_schedules(config)
    allocate_tensors_with_malloc()
    use_safe_checkpoints(trust=trust_checkpoint)
    config.launcher = launcher
    with process_group(launcher, (config.get('env_cfg') or {}).get('dist_cfg')):
        asked = work_dir or config.get('work_dir')
        config.work_dir = broadcast(str(choose_work_dir(config.filename, asked, resume)) if is_main_process() else '')
        loaded = set_start(config, resume, load_from, trust_checkpoint)
        follow_bad_samples(config)
        if launcher != 'none':
            configure_data_parallel(config)
        if launcher != 'none' and config.get('auto_fit'):
            raise ConfigError(
                'auto_fit=True works in one process, where nobody waits for the one that failed: find what fits '
                'without --launcher, then start all with it'
            )
        with explained_errors(config.work_dir):
            return run_fitting(config, trust_checkpoint, loaded)


def run_fitting(config: Config, trust: bool, loaded: LoadedWeights) -> Runner:
    """Train; out of memory, say what holds it, and with ``auto_fit`` go on with what needs less.

    Raises:
        TrainingError: Nothing is left to try, or nothing may be tried.
    """
    while True:
        try:
            return run(config, trust, loaded)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            report = out_of_memory_report(config, error)
            candidate = next(smaller_candidates(config), None) if config.get('auto_fit') else None
            if candidate is None:
                raise TrainingError(report) from error
            saved = newest_whole_checkpoint(Path(config.work_dir))
            if saved and not candidate.resumable:
                raise TrainingError(
                    f'{report}\nThe batch cannot change between checkpoints: start anew with {candidate.overrides}'
                ) from error
        # Outside of the handler, whose traceback holds the network that did not fit.
        gc.collect()
        torch.cuda.empty_cache()
        change = f'{candidate.name}: {candidate.overrides}'
        print_log(f'{report}\nauto_fit: continues with {change}', 'current', level=logging.WARNING)
        config.merge_from_dict(candidate.overrides)
        config.experiment_name = f'{Path(config.work_dir).name}_{candidate.name}'
        if saved:
            config.load_from, config.resume = str(saved), True


def run(config: Config, trust: bool, loaded: LoadedWeights | None = None) -> Runner:
    """Train as a config describes, in its folder and from its checkpoint."""
    if is_main_process():
        remove_leftovers(Path(config.work_dir))
    runner = RUNNERS.get(config.get('runner_type', 'Runner')).from_cfg(config)
    announce(runner)
    if config.get('load_from') and not config.resume:
        start_from_weights(runner, config.load_from, trust, loaded or {})
    try:
        runner.train()
    finally:
        dismiss_workers(runner)
    return runner


def dismiss_workers(runner: Runner) -> None:
    """End the workers of the data loaders, also after an error."""
    for loop in (runner._train_loop, runner._val_loop):
        loader = getattr(loop, 'dataloader', None)
        reading = getattr(getattr(loop, 'dataloader_iterator', None), '_iterator', None)
        for iterator in (reading, getattr(loader, '_iterator', None)):
            if hasattr(iterator, '_shutdown_workers'):
                with suppress(RuntimeError):  # a worker is dead already, which has been reported
                    iterator._shutdown_workers()


def check_schedules(config: Config) -> None:
    """Refuse schedules that the training never reaches.

    Raises:
        ConfigError: A schedule begins at or after ``train_cfg.max_iters``.
    """
    iterations = (config.get('train_cfg') or {}).get('max_iters')
    for i, schedule in enumerate(schedules_of(config)):
        begin = schedule.get('begin', 0)
        if iterations is not None and not schedule.get('by_epoch', True) and begin >= iterations:
            raise ConfigError(
                f'param_scheduler[{i}] ({schedule.type}) begins at iteration {begin}, but train_cfg.max_iters is '
                f'{iterations}: let it begin (and the schedule before it end) earlier, or train longer. Written as '
                "'warm_up' instead of a number, both follow the length of the run (docs/config.md)"
            )


def schedules_of(config: Config) -> list[dict]:
    """Return the param schedulers of a config with one optimizer."""
    schedules = config.get('param_scheduler') or []
    return schedules if isinstance(schedules, list) else [schedules]


def schedule_text(config: Config) -> str:
    """Return which schedule sets the learning rate in which iterations, counted from 1; empty if epochs count."""
    iterations = (config.get('train_cfg') or {}).get('max_iters')
    schedules = schedules_of(config)
    if iterations is None or any(schedule.get('by_epoch', True) for schedule in schedules):
        return ''
    texts = []
    for schedule in schedules:
        begin, end = schedule.get('begin', 0), min(schedule.get('end') or iterations, iterations)
        name = 'warm-up (LinearLR)' if schedule['type'] == 'LinearLR' and begin == 0 else schedule['type']
        texts.append(f'{name} in iterations {begin + 1} to {end}')
    return ', '.join(texts)


def set_start(config: Config, resume: str | None, load_from: str | None, trust: bool) -> LoadedWeights:
    """Write into the config where training starts, after a check that the checkpoint can be read.

    Returns:
        The weights that training starts from, if they were read.
    """
    loaded: LoadedWeights = {}
    folder = Path(config.work_dir)
    if resume == AUTO:
        resume = LATEST if newest_checkpoint(folder) else None
    path = load_from or resume
    if path == LATEST:
        path = newest_whole_checkpoint(folder, trust)
        if path is None:
            raise CheckpointError(
                f'there is no checkpoint in {config.work_dir} to resume: start without --resume, or name one'
            )
    elif load_from:
        loaded[str(path)] = read_weights(path, trust)
    elif path:
        load_checkpoint_file(path, trust=trust)
    if path:
        config.load_from = str(path)
    config.resume = bool(resume)
    return loaded


def start_from_weights(runner: Runner, path: str, trust: bool, loaded: LoadedWeights) -> None:
    """Load what fits of a checkpoint into the runner's network; log the report and write its names to the run's folder.

    MMEngine, which would load it again by name and shape alone, is told that this is done.
    """
    model = unwrap_model(runner.model)
    weights = loaded.pop(path, None) or read_weights(path, trust)
    report = load_matching(model, weights)
    runner._has_loaded = True
    names_file = Path(runner.work_dir, LOADED_NAMES)
    runner.logger.info(f'Weights of {path}\n{report_table(report)}\n\nNames: {names_file}')
    if is_main_process():
        write_text(names_file, json.dumps(vars(report), indent=2))


def report_table(report: LoadReport) -> str:
    """Return the counts of tensors per part of the network, and their sums, as a table."""
    fates = list(vars(report))
    rows = [[part, *(counts[fate] or None for fate in fates)] for part, counts in report.counts().items()]
    footer = ['all', *(len(getattr(report, fate)) for fate in fates)]
    return Table(title='Tensors', columns=['part', *fates], rows=rows, footer=footer).text()


def follow_bad_samples(config: Config) -> None:
    """Add the hook that counts skipped samples if the training data may skip some, so that none goes unnoticed."""
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    if dataset.get('on_bad_sample') == 'skip':
        set_default_hook(config, 'bad_samples', type='BadSamplesHook')


def announce(runner: Runner) -> None:
    """Log the work folder, the schedule of the learning rate, and overrides that shorten the run."""
    logger: MMLogger = runner.logger
    applied = runner.cfg.get('applied_cpu_overrides')
    if applied:
        changes = '\n'.join(f'    {key} = {value}' for key, value in applied.items())
        logger.warning(
            f'No GPU was found. The cpu_overrides of {runner.cfg.filename} shorten this run; the network is the '
            f"config's own. Refuse them with --no-cpu-overrides.\n{changes}"
        )
    schedule = schedule_text(runner.cfg)
    if schedule:
        logger.info(f'Learning rate: {schedule}')
    logger.info(f'Work folder: {runner.work_dir}')


def wants_cpu_overrides(refused: bool) -> bool:
    """Return whether a config's ``cpu_overrides`` are applied: without a GPU, unless refused."""
    return not refused and not torch.cuda.is_available()


def with_amp(config: Config) -> None:
    """Make the optimizer wrapper train under automatic mixed precision."""
    kind = config.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'DeviceAmpOptimWrapper'):
        raise ConfigError(f"--amp replaces optim_wrapper.type 'OptimWrapper', but the config has '{kind}'")
    config.optim_wrapper.type = 'DeviceAmpOptimWrapper'
