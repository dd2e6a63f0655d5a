"""Trains the network of a config, with the options of the command line."""

from __future__ import annotations

import copy
import logging
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn

from vrtspike.config.hooks import set_default_hook
from vrtspike.config.speed import fuse_optimizer, pin_batches
from vrtspike.engine.data_parallel import configure_data_parallel
from vrtspike.engine.out_of_memory import out_of_memory_report, smaller_candidates
from vrtspike.engine.resuming import ResumeHook
from vrtspike.engine.run_folder import AUTO, claim_work_dir, newest_whole_checkpoint, remove_leftovers
from vrtspike.engine.start import LoadedWeights, set_start, start_from_weights
from vrtspike.engine.training_errors import explained_errors
from vrtspike.errors import ConfigError, TrainingError, is_out_of_memory
from vrtspike.hooks.observing import guard_backends, guard_log_files
from vrtspike.native.allocator import allocate_tensors_with_malloc, give_freed_memory_back
from vrtspike.native.build import Kernel, compile_in_background
from vrtspike.ops import measure_backends
from vrtspike.runtime.checkpoint_files import use_safe_checkpoints
from vrtspike.runtime.device import allow_matmul_tf32
from vrtspike.runtime.distributed import from_main_process, process_group


def train(
    config: Config,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    load_from: str | None = None,
    trust_checkpoint: bool = False,
    launcher: str = 'none',
    new_schedule: bool = False,
) -> Runner:
    """Train as a resolved config describes, and return the Runner.

    Args:
        config: From :func:`vrtspike.config.load_config`.
        work_dir: Folder of the run; None takes the config's, or a new one under ``work_dirs/``.
        resume: A checkpoint or run folder to resume, or ``LATEST`` or ``AUTO`` of :mod:`~vrtspike.engine.run_folder`.
            None takes the config's ``resume``, which resumes ``load_from`` or the newest checkpoint, if any, as in
            MMEngine.
        load_from: A checkpoint with initial weights, which may be another network's. Weights that fit are loaded.
        trust_checkpoint: Unpickle checkpoints that contain code.
        launcher: 'none', 'pytorch' or 'slurm'.
        new_schedule: Resume with the optimizer's settings and schedules of the config, not with the checkpoint's.

    Raises:
        CheckpointError: A checkpoint is missing or unsafe or cannot be resumed, or the run's folder has checkpoints.
        FolderInUseError: Another training is using the run's folder.
        TrainingError: Non-finite numbers, too little memory, a full disk or a dead worker ended the training.
        TrainingStopped: A signal ended the training after it saved a checkpoint.
        ConfigError: Both ``resume`` and ``load_from`` are given, or a schedule begins after the last iteration.
    """
    if resume and load_from:
        raise ConfigError('--resume continues a run and --load-from starts one: give one of them')
    if not load_from and not resume and config.get('resume'):
        resume = config.get('load_from') or AUTO
    if new_schedule and not resume:
        raise ConfigError('--new-schedule says how a training is resumed: give --resume too')
    check_length(config)
    check_schedules(config)
    allocate_tensors_with_malloc()
    use_safe_checkpoints(trust=trust_checkpoint)
    config.launcher = launcher
    with ExitStack() as stack:
        environment = config.get('env_cfg') or {}
        stack.enter_context(process_group(launcher, environment.get('dist_cfg')))
        stack.enter_context(measure_backends(environment.get('measure_backends')))
        requested = work_dir or config.get('work_dir')
        config.work_dir = from_main_process(lambda: str(claim_work_dir(config, requested, resume, stack)))
        loaded = set_start(config, resume, load_from, trust_checkpoint, new_schedule)
        add_bad_samples_hook(config)
        if launcher != 'none':
            configure_data_parallel(config)
        if launcher != 'none' and config.get('auto_fit'):
            raise ConfigError(
                'auto_fit=True works in one process only: find a setting that fits without --launcher, then start all '
                'processes with it'
            )
        with explained_errors(config.work_dir):
            return run_with_auto_fit(config, trust_checkpoint, loaded, new_schedule)


def run_with_auto_fit(config: Config, trust: bool, loaded: LoadedWeights, new_schedule: bool) -> Runner:
    """Train. If memory runs out and ``auto_fit`` is set, apply the next candidate that needs less, and try again.

    Raises:
        TrainingError: Memory ran out, and no candidate is left or ``auto_fit`` is not set. The message names the stages
            that save the most activations.
    """
    while True:
        try:
            return run(config, trust, loaded, new_schedule)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            report = out_of_memory_report(config, error)
            candidate = next(smaller_candidates(config), None) if config.get('auto_fit') else None
            if candidate is None:
                raise TrainingError(report) from error
            # Only the path: the contents would stay in memory during the next attempt.
            checkpoint = (newest_whole_checkpoint(Path(config.work_dir), config) or (None,))[0]
            if checkpoint and not candidate.resumable:
                raise TrainingError(
                    f'{report}\nThe batch size cannot change between checkpoints: start a new run with '
                    f'{candidate.overrides}'
                ) from error
        # Outside the handler: its traceback keeps the network that did not fit in memory.
        give_freed_memory_back()
        change = f'{candidate.name}: {candidate.overrides}'
        print_log(f'{report}\nauto_fit: continues with {change}', 'current', level=logging.WARNING)
        config.merge_from_dict(candidate.overrides)
        config.experiment_name = f'{Path(config.work_dir).name}_{candidate.name}'
        if checkpoint:
            config.load_from, config.resume = str(checkpoint), True


def run(config: Config, trust: bool, loaded: LoadedWeights | None = None, new_schedule: bool = False) -> Runner:
    """Train once, from the checkpoint that the config names."""
    if is_main_process():
        remove_leftovers(Path(config.work_dir), config)
    fuse_optimizer(config)
    if torch.cuda.is_available():
        pin_batches(config)
        allow_matmul_tf32((config.get('env_cfg') or {}).get('matmul_tf32', False))
    runner = RUNNERS.get(config.get('runner_type', 'Runner')).from_cfg(without_own_settings(config))
    compile_in_background(kernels_of(runner.model))
    guard_log_files(runner.logger)
    guard_backends(runner.visualizer)  # a user's own visualizer; ours has done it
    log_settings(runner)
    if config.resume:
        runner.register_hook(ResumeHook(new_schedule))
    if config.get('load_from') and not config.resume:
        start_from_weights(runner, config.load_from, trust, loaded or {})
    with warnings.catch_warnings():
        # While gradients accumulate, schedules advance without a step of the optimizer, and MMEngine warns about it.
        warnings.filterwarnings('ignore', 'Detected call of `scheduler.step')
        try:
            runner.train()
        finally:
            shut_down_workers(runner)
    return runner


def kernels_of(model: nn.Module | dict) -> list[Kernel]:
    """Return the kernels that a network on the CPU will call. They compile while data are prepared.

    MMEngine's FlexibleRunner still has the network's config here, of which nothing is known.
    """
    if not isinstance(model, nn.Module) or next(model.parameters()).device.type != 'cpu':
        return []
    return sorted({kernel for module in model.modules() for kernel in getattr(module, 'kernels', ())})


def without_own_settings(config: Config) -> Config:
    """Return a config for MMEngine's ``FlexibleRunner``, whose strategies refuse unknown keys of ``env_cfg``."""
    if config.get('runner_type') != 'FlexibleRunner':
        return config
    config = copy.deepcopy(config)
    for name in ('matmul_tf32', 'measure_backends'):
        config.get('env_cfg', {}).pop(name, None)
    return config


def shut_down_workers(runner: Runner) -> None:
    """End the workers of the data loaders, even after an error."""
    for loop in (runner._train_loop, runner._val_loop):
        loader = getattr(loop, 'dataloader', None)
        reading = getattr(getattr(loop, 'dataloader_iterator', None), '_iterator', None)
        for iterator in (reading, getattr(loader, '_iterator', None)):
            if hasattr(iterator, '_shutdown_workers'):
                with suppress(RuntimeError):  # a worker is already dead, and that has been reported
                    iterator._shutdown_workers()


def check_length(config: Config) -> None:
    """Check that the training has iterations, and validates after some of them.

    Raises:
        ConfigError: A number of ``train_cfg`` is below 1.
    """
    for name in ('max_iters', 'max_epochs', 'val_interval'):
        number = (config.get('train_cfg') or {}).get(name, 1)
        if isinstance(number, (int, float)) and number < 1:
            hint = '; to leave validation out, set val_cfg, val_dataloader and val_evaluator to None'
            raise ConfigError(
                f'train_cfg.{name} is {number}, expected 1 or more{hint if name == "val_interval" else ""}'
            )


def check_schedules(config: Config) -> None:
    """Check that every schedule begins within the run.

    Raises:
        ConfigError: A schedule begins at or after ``train_cfg.max_iters``.
    """
    iterations = (config.get('train_cfg') or {}).get('max_iters')
    for i, schedule in enumerate(schedules_of(config)):
        begin = schedule.get('begin', 0)
        if iterations is not None and not schedule.get('by_epoch', True) and begin >= iterations:
            raise ConfigError(
                f'param_scheduler[{i}] ({schedule.type}) begins at iteration {begin}, but train_cfg.max_iters is '
                f'{iterations}: begin it (and end the schedule before it) earlier, or train longer. With '
                "'warm_up' in place of a number, both follow the length of the run (docs/config.md)"
            )


def schedules_of(config: Config) -> list[dict]:
    """Return the param schedulers of a config with one optimizer."""
    schedules = config.get('param_scheduler') or []
    return schedules if isinstance(schedules, list) else [schedules]


def schedule_text(config: Config) -> str:
    """Return the schedules and their iterations, counted from 1, as text; empty for schedules in epochs."""
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


def add_bad_samples_hook(config: Config) -> None:
    """Add the hook that counts skipped samples if the training data may skip some."""
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    if dataset.get('on_bad_sample') == 'skip':
        set_default_hook(config, 'bad_samples', type='BadSamplesHook')


def log_settings(runner: Runner) -> None:
    """Log the work folder, the schedule of the learning rate, and overrides that shorten the run."""
    logger: MMLogger = runner.logger
    applied = runner.cfg.get('applied_cpu_overrides')
    if applied:
        changes = '\n'.join(f'    {key} = {value}' for key, value in applied.items())
        logger.warning(
            f'No GPU was found. The cpu_overrides of {runner.cfg.filename} shorten this run and leave the network '
            f'unchanged. Switch them off with --no-cpu-overrides.\n{changes}'
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
