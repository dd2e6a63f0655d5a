"""The hooks of a config: shipped hooks by name in ``default_hooks``, and the user's in ``custom_hooks``."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config


MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
"""Hooks that MMEngine adds by default. One of them is disabled by None, so None must stay in the config."""

REPORTING_HOOKS = {
    'network_summary': 'NetworkSummaryHook',
    'clip_pictures': 'ClipPicturesHook',
    'training_report': 'TrainingReportHook',
    'flops': 'FlopsHook',
    'stage_cost': 'StageCostHook',
}
"""Types of the shipped hooks that describe a run and never change it, by name."""


def hooks_of(config: dict) -> dict[str, dict]:
    """Return the hooks of a config, default and custom, by dotted key."""
    found = {f'default_hooks.{name}': hook for name, hook in (config.get('default_hooks') or {}).items() if hook}
    return found | {f'custom_hooks.{i}': hook for i, hook in enumerate(config.get('custom_hooks') or [])}


def remove_disabled_hooks(config: Config) -> None:
    """Remove the hooks that are None from ``default_hooks``. MMEngine accepts None for its own hooks only."""
    hooks = config.get('default_hooks')
    if isinstance(hooks, dict):
        for name in [name for name, hook in hooks.items() if hook is None and name not in MMENGINE_HOOKS]:
            hooks.pop(name)


def set_default_hook(config: Config, name: str, **node: Any) -> None:
    """Add a hook to ``default_hooks`` unless the config already has one of its type, under any name."""
    if all(hook.get('type') != node['type'] for hook in hooks_of(config).values()):
        config.setdefault('default_hooks', {})
        config.default_hooks[name] = node


def remove_reporting_hooks(config: Config, keep: Container[str] = ()) -> None:
    """Remove the hooks of :data:`REPORTING_HOOKS` except the names in ``keep``.

    They are also removed from ``custom_hooks``, where earlier versions saved them.
    """
    unwanted = {name: kind for name, kind in REPORTING_HOOKS.items() if name not in keep}
    for name in unwanted:
        (config.get('default_hooks') or {}).pop(name, None)
    custom = config.get('custom_hooks') or []
    config.custom_hooks = [hook for hook in custom if hook.get('type') not in unwanted.values()]
