"""Checks that a training can resume from a checkpoint, and chooses the schedule that it then follows."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from vrtspike.config.hooks import hooks_of
from vrtspike.errors import CheckpointError, ConfigError
from vrtspike.hooks.safe_checkpoint_hook import GRADIENTS_KEY
from vrtspike.models.weights import check_fit
from vrtspike.registry import MODELS

NEEDED = {
    'state_dict': 'weights',
    'optimizer': 'the optimizer state',
    'message_hub': 'the log state',
    'meta': 'the iteration',
}
"""Keys that a resumable checkpoint has, and what they contain."""

PROGRESS = {'last_step', '_global_step', '_last_value', 'base_values', 'best', 'num_bad_epochs', 'cooldown_counter'}
"""Attributes of a schedule that change while it runs, or follow from the optimizer's settings."""

DISTINCTIVE = {'alpha', 'betas', 'dampening', 'etas', 'lambd', 'lr_decay', 'momentum', 'rho'}
"""Settings that distinguish the optimizers of torch."""


def check_resumable(path: Path, checkpoint: dict[str, Any], config: Config, new_schedule: bool = False) -> None:
    """Check that a training with this config can resume from a checkpoint.

    Raises:
        CheckpointError: The checkpoint lacks a part of the training's state, belongs to another network, or has
            weights that are not finite.
        ConfigError: The config's training is shorter than the checkpoint's.
    """
    needed = dict(NEEDED)
    if config.get('param_scheduler') and not new_schedule:
        needed['param_schedulers'] = 'the schedule state'
    missing = [what for key, what in needed.items() if not isinstance(checkpoint.get(key), (dict, list))]
    if not missing and not {'iter', 'epoch'} <= checkpoint['meta'].keys():
        missing = [NEEDED['meta']]
    if missing:
        raise CheckpointError(
            f'checkpoint {path} cannot be resumed, because it lacks {", ".join(missing)}: only the '
            'regular checkpoints of a training (iter_*.pth, epoch_*.pth) have it, not best_*.pth or published weights. '
            f'Name one of those, or start a new training from the weights with --load-from {path}'
        )
    if 'ema_state_dict' in checkpoint and not any('EMA' in str(hook.get('type')) for hook in hooks_of(config).values()):
        raise CheckpointError(
            f'checkpoint {path} was written with averaged weights (EMAHook), and the config has no EMAHook: keep the '
            f'hook, or start a new training from the averaged weights with --load-from {path}'
        )
    _check_length(path, checkpoint['meta'], config.get('train_cfg') or {})
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'vrtspike')):
        targets = MODELS.build(config.model).state_dict()
    weights = {name.removeprefix('module.'): value for name, value in checkpoint['state_dict'].items()}
    check_fit(weights, targets, f'checkpoint {path}')
    nonfinite = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if nonfinite:
        raise CheckpointError(
            f'checkpoint {path} has NaN or infinity in {len(nonfinite)} of its {len(weights)} weights, such as '
            f'{nonfinite[0]}: resume an earlier one'
        )


def _check_length(path: Path, meta: dict[str, Any], train_cfg: dict[str, Any]) -> None:
    for key, unit in (('max_iters', 'iter'), ('max_epochs', 'epoch')):
        length = train_cfg.get(key)
        if isinstance(length, int) and meta[unit] > length:
            name = {'iter': 'iteration', 'epoch': 'epoch'}[unit]
            raise ConfigError(
                f'checkpoint {path} is at {name} {meta[unit]}, but train_cfg.{key} is {length}: nothing is left to '
                f'train. Set train_cfg.{key} to more than {meta[unit]}, or resume an earlier checkpoint'
            )


class ResumeHook(Hook):
    """Compares the optimizer and the schedules of a resumed training with the config's.

    If they differ, the checkpoint's settings are used and a warning names the differences, as in MMEngine. With
    ``new_schedule`` the config's settings are used: the optimizer keeps its momenta and gets the config's settings, and
    the schedules are replayed up to the checkpoint's iteration, as if they had been used from the start.

    Args:
        new_schedule: Whether to use the config's settings.
    """

    priority = 'HIGHEST'

    def __init__(self, new_schedule: bool) -> None:
        self.new_schedule = new_schedule
        self._settings: list[dict[str, Any]] = []
        """The config's settings of every parameter group, after the schedules' first step."""
        self._schedules: list[dict[str, Any]] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the states before they are loaded.

        Raises:
            CheckpointError: The checkpoint's optimizer or schedules are of another kind.
        """
        if GRADIENTS_KEY in checkpoint:  # otherwise MMEngine warns that they are lost
            runner.logger.addFilter(lambda record: '_accumulative_counts' not in record.getMessage())
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            if self.new_schedule:
                raise ConfigError('--new-schedule works with one optimizer only')
            return
        groups, saved_groups = runner.optim_wrapper.param_groups, checkpoint['optimizer']['param_groups']
        _check_optimizer(groups, saved_groups)
        self._settings = [_numbers(group) for group in groups]
        self._schedules = [copy.deepcopy(schedule.state_dict()) for schedule in runner.param_schedulers or []]
        if self.new_schedule:
            checkpoint['param_schedulers'] = copy.deepcopy(self._schedules)
            return
        saved_schedules = checkpoint.get('param_schedulers', [])
        names = [type(schedule).__name__ for schedule in runner.param_schedulers or []]
        if [set(state) for state in saved_schedules] != [set(state) for state in self._schedules]:
            raise CheckpointError(
                f'the checkpoint has {len(saved_schedules)} schedules, which do not match those of the config '
                f"({', '.join(names) or 'none'}): restore the config's param_scheduler, or pass --new-schedule to "
                'continue with it'
            )
        changes = [
            *_changes(['optimizer'] * len(groups), map(_numbers, saved_groups), self._settings),
            *_changes(names, saved_schedules, self._schedules),
        ]
        if changes:
            lines = '\n'.join(dict.fromkeys(f'  {change}' for change in changes))
            runner.logger.warning(
                'The learning rate and the schedules of the checkpoint are used, not those of the config. Pass '
                f'--new-schedule to use those of the config.\n{lines}'
            )

    def before_train(self, runner: Runner) -> None:
        """Replay the config's schedules, and say if nothing is left to train."""
        if runner.iter >= runner.max_iters:
            runner.logger.info(f'Nothing is left to train: the checkpoint is at iteration {runner.iter}, the last one.')
        if not self.new_schedule:
            return
        wrapper, schedules = runner.optim_wrapper, runner.param_schedulers or []
        for group, settings in zip(wrapper.param_groups, self._settings, strict=True):
            group.update(settings)
        for schedule, state in zip(schedules, self._schedules, strict=True):
            schedule.load_state_dict(state)
        wrapper._global_step = 0  # otherwise MMEngine warns that the optimizer stepped before the schedules
        for by_epoch in _ends(runner.iter, runner.epoch, len(runner.train_dataloader)):
            for schedule in schedules:
                if schedule.by_epoch == by_epoch:
                    schedule.step()
        rates = ', '.join(dict.fromkeys(f'{group["lr"]:.4g}' for group in wrapper.param_groups))
        runner.logger.info(f'New schedule: the learning rate is {rates} after iteration {runner.iter}.')


def _check_optimizer(groups: list[dict[str, Any]], restored: list[dict[str, Any]]) -> None:
    kinds = [sorted(each[0].keys() & DISTINCTIVE) for each in (groups, restored)]
    sizes = [[len(group['params']) for group in each] for each in (groups, restored)]
    for what, (ours, theirs) in (('settings', kinds), ('tensors in its parameter groups', sizes)):
        if ours != theirs:
            raise CheckpointError(
                f'the checkpoint was written with another optimizer: it has the {what} {theirs}, but the config has '
                f'{ours}. Restore optim_wrapper.optimizer and paramwise_cfg, or start a new training from the weights '
                'with --load-from'
            )


def _numbers(group: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a parameter group that are numbers or tuples of numbers."""
    kinds = (int, float, list, tuple, torch.Tensor)
    return {
        name: tuple(value) if isinstance(value, list) else copy.copy(value)
        for name, value in group.items()
        if name != 'params' and isinstance(value, kinds) and not isinstance(value, bool)
    }


def _constant(state: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a state that the config determines. A scheduled value is replaced by its initial value."""
    scheduled = {name.removeprefix('initial_') for name in state if name.startswith('initial_')}
    return {
        name.removeprefix('initial_'): value
        for name, value in state.items()
        if name not in PROGRESS | scheduled and not callable(value)
    }


def _changes(owners: Iterable[str], restored: Iterable[dict], states: Iterable[dict]) -> Iterator[str]:
    """Yield how each state of the config differs from that of the checkpoint."""
    for owner, old, new in zip(owners, map(_constant, restored), map(_constant, states), strict=True):
        for name, value in new.items():
            if name in old and old[name] != value:
                yield f'{owner}.{name}: {old[name]} in the checkpoint, {value} in the config'


def _ends(iterations: int, epochs: int, per_epoch: int) -> Iterator[bool]:
    """Yield False for every iteration that has ended and True for every epoch, in the order they ended."""
    ended = 0
    for iteration in range(1, iterations + 1):
        yield False
        if ended < epochs and iteration % per_epoch == 0:
            ended += 1
            yield True
    yield from [True] * (epochs - ended)
