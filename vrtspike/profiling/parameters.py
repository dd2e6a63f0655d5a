"""Counts the parameters of a network, and finds them by name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from vrtspike.errors import ConfigError, did_you_mean


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Return the number of parameters, or only of the trainable ones."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def parameters_under(names: Sequence[str], model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that match ``names``: dotted names, or patterns, of modules or parameters.

    Raises:
        ConfigError: If one of ``names`` matches none, and is no module without parameters either.
    """
    parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
    found = {}
    for name in names:
        matches = [key for key in parameters if fnmatchcase(key, name) or fnmatchcase(key, f'{name}.*')]
        if not matches and name not in modules:
            known = (
                {key.rpartition('.')[0] for key in parameters}
                if '.' in name
                else {key.partition('.')[0] for key in parameters}
            )
            raise ConfigError(f"no parameter matches '{name}'{did_you_mean(name, known)}")
        found.update((key, parameters[key]) for key in matches)
    return list(found.values())
