"""Parameter groups with the same settings, updated together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

OPTIMIZERS = (Adagrad, Adam, AdamW, SGD)
"""Their steps change parameters and states, and nothing in a group."""


@contextmanager
def merged_groups(optimizer: Optimizer) -> Iterator[None]:
    """Let an optimizer have one group for all that have the same settings, inside the ``with`` block.

    If a config has factors for some parameters (``paramwise_cfg``), MMEngine makes a group of every single one. An
    optimizer updates a group in a few kernels: with such groups it launches thousands. The result is the same, and
    checkpoints have the groups as MMEngine made them.
    """
    groups = optimizer.param_groups
    try:
        optimizer.param_groups = merged(groups) if may_be_merged(optimizer) else groups
        yield
    finally:
        optimizer.param_groups = groups


def may_be_merged(optimizer: Optimizer) -> bool:
    """Return whether nothing but the optimizer's own step sees its groups. Hooks of a step may change them."""
    hooks = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return type(optimizer) in OPTIMIZERS and len(optimizer.param_groups) > 1 and not hooks


def merged(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a group for all of the same settings."""
    found: dict[tuple, dict[str, Any]] = {}
    for group in groups:
        same = found.setdefault(settings_of(group), {**group, 'params': []})
        same['params'] += group['params']
    return list(found.values())


def settings_of(group: dict[str, Any]) -> tuple:
    """Return what tells a group from others, besides its parameters; tensors differ unless they are the same one."""
    names = sorted(group.keys() - {'params', 'param_names'})
    return tuple((name, group[name] if isinstance(group[name], Hashable) else repr(group[name])) for name in names)
