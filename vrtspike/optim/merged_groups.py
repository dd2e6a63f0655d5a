"""Parameter groups with the same settings, updated together."""

from __future__ import annotations

from collections.abc import Iterator
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
    if type(optimizer) not in OPTIMIZERS or len(groups) == 1:
        yield
        return
    merged: dict[tuple, dict[str, Any]] = {}
    for group in groups:
        same = merged.setdefault(settings_of(group), {**group, 'params': []})
        same['params'] += group['params']
    optimizer.param_groups = list(merged.values())
    try:
        yield
    finally:
        optimizer.param_groups = groups


def settings_of(group: dict[str, Any]) -> tuple:
    """Return what tells a group from others, besides its parameters; tensors differ unless they are the same one."""
    names = sorted(group.keys() - {'params', 'param_names'})
    return tuple((name, tuple(group[name]) if isinstance(group[name], list) else group[name]) for name in names)
