"""Profiles the default config: a short training that measures the shares of its stages."""

from __future__ import annotations

from pathlib import Path

import msgspec
from mmengine.config import Config
from msgspec import UNSET, UnsetType

from vrtspike.analysis.readers.reading import read_logs
from vrtspike.analysis.report import Report, build_report
from vrtspike.analysis.statistics.roofline import RooflinePoint
from vrtspike.analysis.statistics.samples import Statistics
from vrtspike.analysis.statistics.stage_shares import Bottleneck, MeasuredCost
from vrtspike.config.hooks import remove_reporting_hooks, set_default_hook
from vrtspike.errors import ConfigError
from vrtspike.experiments.runs import Run, digest, train, write_config
from vrtspike.experiments.variants import Variant
from vrtspike.records.stage_costs import FILE_NAME

ITERATIONS = 16
"""Enough iterations for an interval of a stage's share."""

NOT_RESTORING = ('data', 'loss', 'optimizer', 'communication', 'other')
"""Stages of an iteration that restoring does not have."""


class Profile(msgspec.Struct, kw_only=True):
    """The costs of the default config by stage.

    Args:
        bottlenecks: The stages, the largest share first.
        run: The folder of the profiled training.
        roofline: Roofline by stage. This and the following fields are those of
            :class:`~vrtspike.analysis.report.Report`.
        iteration_ms: Statistics of the iteration's time.
        stages: Costs by stage.
    """

    bottlenecks: list[Bottleneck]
    run: str | UnsetType = UNSET
    roofline: dict[str, RooflinePoint] | None = None
    iteration_ms: Statistics | UnsetType | None = UNSET
    stages: dict[str, MeasuredCost] | UnsetType = UNSET

    @property
    def shares(self) -> dict[str, float]:
        """The share of the time by stage."""
        return {entry.stage: entry.share for entry in self.bottlenecks}


def profile(config: Config, folder: Path, train_tool: Path, objective: str) -> Profile:
    """Profile a short training in which every iteration is sampled. A finished one is not repeated.

    Args:
        config: The config to train.
        folder: Folder of the profiles; each config has its own folder inside.
        train_tool: ``tools/train.py``.
        objective: 'train' or 'infer'; see :func:`bottlenecks_of`.

    Raises:
        ConfigError: The config does not train.
    """
    config = config.copy()
    profile_hooks(config)
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
        raise ConfigError(f'the default config does not train: {failed}; see {run.work_dir / "train.log"}')
    report = build_report(read_logs([run.work_dir / FILE_NAME]))
    return Profile(
        bottlenecks=bottlenecks_of(report, objective),
        run=str(run.work_dir),
        roofline=report.roofline,
        iteration_ms=report.iteration_ms,
        stages=report.stages,
    )


def profile_hooks(config: Config) -> None:
    """Set the hooks of a profile: sample every iteration, count MACs, write a report. Hooks that freeze parts stay."""
    remove_reporting_hooks(config)
    config.custom_hooks = [hook for hook in config.get('custom_hooks') or () if hook.type == 'FreezeHook']
    set_default_hook(config, 'flops', type='FlopsHook')
    set_default_hook(config, 'training_report', type='TrainingReportHook')
    set_default_hook(config, 'stage_cost', type='StageCostHook', interval=1, warmup=2)


def bottlenecks_of(report: Report, objective: str) -> list[Bottleneck]:
    """Return the stages of a profiled training, the largest share first.

    Shares are those of the iteration ('train'), or of its forward pass without data and loss ('infer').
    """
    if objective == 'train':
        return report.bottlenecks
    costs = {name: cost.forward_ms for name, cost in report.stages.items() if name not in NOT_RESTORING}
    times = {name: cost.mean for name, cost in costs.items() if cost and cost.mean}
    whole = sum(times.values())
    return [Bottleneck(stage=name, share=times[name] / whole) for name in sorted(times, key=lambda name: -times[name])]
