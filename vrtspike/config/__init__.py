"""Configs: reading with inheritance and overrides, and checks against the signatures of what they name."""

import importlib
from typing import Any

_MODULES = {'load_config': 'loading', 'read_config': 'reading', 'check_config': 'validation', 'Findings': 'validation'}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: it brings mmengine, without which much of this package works."""
    if name in _MODULES:
        return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
