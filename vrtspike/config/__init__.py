"""Reads configs with inheritance and overrides, and checks them against the signatures of the classes they name."""

import importlib
from typing import Any

_MODULES = {'load_config': 'loading', 'read_config': 'reading', 'check_config': 'validation', 'Findings': 'validation'}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use. The import loads mmengine, which much of this package does not need."""
    if name in _MODULES:
        return getattr(importlib.import_module(f'{__name__}.{_MODULES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
