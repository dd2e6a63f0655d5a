"""From a config and the command line's wishes to a trained network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist, is_main_process
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from vrtspike.checkpoints import load_checkpoint_file, unwrap_state_dict, use_safe_checkpoints
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.files import written_aside
from vrtspike.models.adaptation import LoadReport, load_weights
from vrtspike.visualization.tables import table_text

LATEST = 'latest'
"""As a checkpoint to resume from: the run's newest."""

LOADED_NAMES = 'loaded_weights.json'
"""File of the run's folder: ``loaded``, ``adapted``, ``fresh`` and ``unused``, each a list of names of tensors."""


def train(
    config: Config,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    load_from: str | None = None,
    trust_checkpoint: bool = False,
    launcher: str = 'none',
) -> Runner:
    """Train what a resolved config describes, and return the Runner that did.

    Args:
        config: From :func:`vrtspike.config.load_config`.
        work_dir: Folder of the run; None takes the config's, or a new one under ``work_dirs/``.
        resume: A checkpoint to go on from, or :data:`LATEST`.
        load_from: A checkpoint whose weights training starts from, as far as they fit; may be another network's.
        trust_checkpoint: Unpickle checkpoints that hold more than weights.
        launcher: 'none', 'pytorch' or 'slurm'.

    Raises:
        CheckpointError: A checkpoint is missing or unsafe, or the run's folder already holds some.
        ConfigError: Both ``resume`` and ``load_from`` are given, or a schedule begins after the last iteration.
    """
    if resume and load_from:
        raise ConfigError('--resume continues a run and --load-from starts one: give one of them')
    check_schedules(config)
    use_safe_checkpoints(trust=trust_checkpoint)
    config.launcher = launcher
    if launcher != 'none':
        init_dist(launcher, **config.get('env_cfg', {}).get('dist_cfg', {}))
    asked = work_dir or config.get('work_dir')
    config.work_dir = agreed(str(choose_work_dir(config.filename, asked, resume)) if is_main_process() else '')
    set_start(config, resume, load_from, trust_checkpoint)
    follow_bad_samples(config)
    runner = Runner.from_cfg(config)
    announce(runner)
    if config.get('load_from') and not config.resume:
        start_from_weights(runner, config.load_from, trust_checkpoint)
    runner.train()
    return runner


def check_schedules(config: Config) -> None:
    """Refuse schedules that a shortened training never reaches."""
    schedules = config.get('param_scheduler') or []
    iterations = (config.get('train_cfg') or {}).get('max_iters')
    for i, schedule in enumerate(schedules if isinstance(schedules, list) else [schedules]):
        begin = schedule.get('begin', 0)
        if iterations is not None and not schedule.get('by_epoch', True) and begin >= iterations:
            raise ConfigError(
                f'param_scheduler[{i}] ({schedule.type}) begins at iteration {begin}, but train_cfg.max_iters is '
                f'{iterations}: let it begin (and what precedes it end) earlier, or train longer'
            )


def choose_work_dir(config_file: str, asked: str | None, resume: str | None) -> Path:
    """Return the folder of a run: never one whose checkpoints would be written over."""
    if asked:
        if not resume and has_checkpoints(Path(asked)):
            raise CheckpointError(
                f'{asked} holds checkpoints of an earlier run: go on with --resume, or give another --work-dir'
            )
        return Path(asked)
    name = Path(config_file).stem
    folders = [Path('work_dirs', name), *(Path('work_dirs', f'{name}_{i}') for i in range(2, 1000))]
    used = [folder for folder in folders if has_checkpoints(folder)]
    if resume == LATEST and used:
        return used[-1]
    if resume not in (None, LATEST):
        return Path(resume).parent
    return next(folder for folder in folders if not has_checkpoints(folder))


def has_checkpoints(folder: Path) -> bool:
    """Return whether a run has saved checkpoints in ``folder``."""
    return newest_checkpoint(folder) is not None


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the most iterations in ``folder``, or None where there is none.

    MMEngine trusts a file with the name of the last one, and starts over without a word where that is missing.
    """
    paths = folder.iterdir() if folder.is_dir() else ()
    numbered = {int(match.group(1)): path for path in paths if (match := re.fullmatch(r'iter_(\d+)\.pth', path.name))}
    return numbered[max(numbered)] if numbered else None


def agreed(text: str) -> str:
    """Return what the main process says, on every process."""
    texts = [text]
    broadcast_object_list(texts)
    return texts[0]


def set_start(config: Config, resume: str | None, load_from: str | None, trust: bool) -> None:
    """Write into the config where training starts, having made sure that the checkpoint can be read."""
    path = load_from or resume
    if path == LATEST:
        path = newest_checkpoint(Path(config.work_dir))
        if path is None:
            raise CheckpointError(
                f'there is no checkpoint in {config.work_dir} to resume: start without --resume, or name one'
            )
    if path:
        load_checkpoint_file(path, trust=trust)
        config.load_from = str(path)
    config.resume = bool(resume)


def start_from_weights(runner: Runner, path: str, trust: bool) -> None:
    """Load what fits of a checkpoint into the runner's network; log the report and write its names to the run's folder.

    MMEngine, which would load it again by name and shape alone, is told that this is done.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    report = load_weights(model, unwrap_state_dict(load_checkpoint_file(path, trust)))
    runner._has_loaded = True
    names_file = Path(runner.work_dir, LOADED_NAMES)
    runner.logger.info(f'Weights of {path}\n{report_table(report)}\n\nNames: {names_file}')
    if is_main_process():
        with written_aside(names_file) as aside:
            aside.write_text(json.dumps(vars(report), indent=2), encoding='utf-8')


def report_table(report: LoadReport) -> str:
    """Return the counts of tensors per part of the network, and their sums, as a table."""
    fates = list(vars(report))
    rows = [[part, *(counts[fate] or None for fate in fates)] for part, counts in report.counts().items()]
    return table_text('Tensors', ['part', *fates], rows, ['all', *(len(getattr(report, fate)) for fate in fates)])


def follow_bad_samples(config: Config) -> None:
    """Add the hook that counts skipped samples where the training data may skip any: none goes unnoticed."""
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    hooks = config.get('custom_hooks') or []
    if dataset.get('on_bad_sample') == 'skip' and all(hook.get('type') != 'BadSamplesHook' for hook in hooks):
        config.custom_hooks = [*hooks, dict(type='BadSamplesHook')]


def announce(runner: Runner) -> None:
    """Log what the run does that its reader might not expect."""
    logger: MMLogger = runner.logger
    applied = runner.cfg.get('applied_cpu_overrides')
    if applied:
        changes = '\n'.join(f'    {key} = {value}' for key, value in applied.items())
        logger.warning(
            f'No GPU was found. The cpu_overrides of {runner.cfg.filename} shorten this run; the network is the '
            f"config's own. Refuse them with --no-cpu-overrides.\n{changes}"
        )
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
