"""A config as its difference from another: the text of a child config."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping
from typing import Any

WIDTH = 120


def difference(base: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nodes that a config inheriting ``base`` must set to become ``changed``.

    Dicts are compared key by key, other values as a whole. A dict that lost a key, or that replaces a value of another
    type, is written in full with ``_delete_=True``.
    """
    found = {}
    for key, value in changed.items():
        if key not in base:
            found[key] = _plain(value)
        elif isinstance(value, Mapping) and isinstance(base[key], Mapping):
            nested = difference(base[key], value)
            if set(base[key]) - set(value):
                nested = {'_delete_': True, **_plain(value)}
            if nested:
                found[key] = nested
        elif _plain(value) != _plain(base[key]):
            found[key] = {'_delete_': True, **_plain(value)} if isinstance(value, Mapping) else _plain(value)
    return found


def child_text(base_path: str, nodes: Mapping[str, Any], heading: str) -> str:
    """Return the text of a config that inherits ``base_path`` and sets ``nodes``, below the docstring ``heading``."""
    lines = [f'{name} = {code(value, len(name) + 3)}' for name, value in nodes.items()]
    return '\n'.join([f'"""{heading}"""', '', f'_base_ = {base_path!r}', *lines, ''])


def code(value: Any, column: int = 0, indent: int = 0) -> str:
    """Return Python code for a value of a config, in lines of at most :data:`WIDTH` characters if possible.

    Args:
        value: Dicts, lists and plain values.
        column: Column at which the first line begins.
        indent: Indentation of the following lines.
    """
    one_line = _one_line(value)
    if column + len(one_line) <= WIDTH or not isinstance(value, (dict, list)) or not value:
        return one_line
    inner, space = indent + 4, ' ' * (indent + 4)
    if isinstance(value, list):
        items = [f'{space}{code(item, inner, inner)},' for item in value]
        return '\n'.join(['[', *items, ' ' * indent + ']'])
    if not _all_names(value):
        items = [f'{space}{key!r}: {code(item, inner + len(repr(key)) + 2, inner)},' for key, item in value.items()]
        return '\n'.join(['{', *items, ' ' * indent + '}'])
    items = [f'{space}{key}={code(item, inner + len(key) + 1, inner)},' for key, item in value.items()]
    return '\n'.join(['dict(', *items, ' ' * indent + ')'])


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        if not _all_names(value):
            return '{' + ', '.join(f'{key!r}: {_one_line(item)}' for key, item in value.items()) + '}'
        return 'dict(' + ', '.join(f'{key}={_one_line(item)}' for key, item in value.items()) + ')'
    if isinstance(value, list):
        return '[' + ', '.join(map(_one_line, value)) + ']'
    return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _all_names(node: dict) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in node)


def _plain(value: Any) -> Any:
    """Return a value of a config without MMEngine's classes, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
