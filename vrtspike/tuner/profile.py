"""The instrument's view of the default config: a short training, and where its time went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from vrtspike.analysis.readers.reading import read_logs
from vrtspike.analysis.report import build_report
from vrtspike.config.hooks import remove_reporting_hooks, set_default_hook
from vrtspike.errors import ConfigError
from vrtspike.experiments.runs import Run, digest, train, write_config
from vrtspike.experiments.variants import Variant
from vrtspike.records.stage_costs import FILE_NAME

ITERATIONS = 16
"""Enough for an interval of a stage's share."""

TRAINING_ALONE = ('data', 'loss', 'optimizer', 'communication', 'other')
"""Stages of an iteration that restoring has not."""


def profile(config: Any, folder: Path, train_tool: Path) -> dict[str, Any]:
    """Return the analysis of a short training with every iteration sampled; one that is finished is not repeated.

    Args:
        config: What to train.
        folder: Of such trainings; each config has its own in it.
        train_tool: ``tools/train.py``.

    Returns:
        The JSON of a :class:`~vrtspike.analysis.report.Report`, with ``run`` set to the training's folder.

    Raises:
        ConfigError: The config does not train.
    """
    config = config.copy()
    remove_reporting_hooks(config)
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type == 'FreezeHook']
    set_default_hook(config, 'flops', type='FlopsHook')
    set_default_hook(config, 'training_report', type='TrainingReportHook')
    set_default_hook(config, 'stage_cost', type='StageCostHook', interval=1, warmup=2)
    config.train_cfg = {**config.train_cfg, 'max_iters': ITERATIONS + 2}
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.default_hooks.checkpoint.save_best = None
    for i, scheduler in enumerate(config.get('param_scheduler') or ()):
        if scheduler.get('begin', 0) >= ITERATIONS or (scheduler.get('end') or 0) > ITERATIONS:
            config.param_scheduler[i] = {'type': 'ConstantLR', 'by_epoch': False, 'factor': 1.0}
    run = Run(Variant(digest(config)), 0, folder)
    write_config(config, run.config)
    failed = train(run, train_tool)
    if failed:
        raise ConfigError(f'the default config does not train: {failed.reason}; see {run.work_dir / "train.log"}')
    report = build_report(read_logs([run.work_dir / FILE_NAME]))
    return msgspec.to_builtins(report) | {'run': str(run.work_dir)}


def bottlenecks_of(report: dict[str, Any], objective: str) -> list[dict[str, Any]]:
    """Return ``stage``, ``share`` and ``share_interval`` (None: not known), largest first.

    Args:
        report: What :func:`profile` returns.
        objective: 'train': shares of the iteration; 'infer': of its forward pass, without data and loss.
    """
    if objective == 'train':
        return report['bottlenecks']
    times = {name: cost['forward_ms']['mean'] for name, cost in report['stages'].items()
             if name not in TRAINING_ALONE and cost['forward_ms'] and cost['forward_ms']['mean']}  # fmt: skip
    whole = sum(times.values())
    ranked = sorted(times, key=lambda name: -times[name])
    return [{'stage': name, 'share': times[name] / whole, 'share_interval': None} for name in ranked]


def shares_of(bottlenecks: list[dict[str, Any]]) -> dict[str, float]:
    """Return the share by stage."""
    return {entry['stage']: entry['share'] for entry in bottlenecks}
