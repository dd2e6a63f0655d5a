"""The values that a config may contain, and the reading of configs saved in run folders and checkpoints."""

from __future__ import annotations

import ast
import keyword
import math
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from vrtspike.errors import ConfigError


class NonFinite(float):
    """Infinity or NaN with a ``repr`` that is Python code. MMEngine saves a config as the ``repr`` of its values."""

    def __repr__(self) -> str:
        return f"float('{float(self)}')"


def plain_values(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config or its overrides with plain values only, and with ``~`` replaced by the home folder.

    Paths become text. Arrays, tensors and ranges become lists of numbers, and scalars become numbers. Classes and
    functions become the dotted names by which registries find them.

    Raises:
        ConfigError: Lists the keys of all other values, one per line.
    """
    problems: list[str] = []
    found = _plain(node, '', problems)
    if problems:
        raise ConfigError('\n  '.join(problems))
    return found


def expand_home(value: Any) -> Any:
    """Return a value with ``~`` at the beginning of its texts and paths replaced by the home folder."""
    if isinstance(value, (str, PurePath)) and str(value).startswith('~'):
        return type(value)(os.path.expanduser(value))
    return type(value)(map(expand_home, value)) if type(value) in (list, tuple) else value


def _plain(value: Any, path: str, problems: list[str]) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if not _can_be_saved(key):
                problems.append(f'{path or "the config"}: {key!r} cannot be a key; choose another name')
        return {key: _plain(item, _joined(path, key), problems) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        kind = list if isinstance(value, list) else tuple
        return kind(_plain(item, _joined(path, i), problems) for i, item in enumerate(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else NonFinite(value)
    if isinstance(value, (str, PurePath)):
        return expand_home(str(value))
    if isinstance(value, range):
        return list(value)
    if callable(getattr(value, 'tolist', None)):  # an array, tensor or scalar of NumPy or PyTorch
        return _plain(value.tolist(), path, problems)
    name = f'{getattr(value, "__module__", "<")}.{getattr(value, "__qualname__", "<")}'
    if '<' not in name:  # a class or function of a module; no object, lambda or local function
        return name
    problems.append(
        f'{path}: {value!r} is a {type(value).__name__}, which a saved config cannot contain; expected a number, text, '
        'None, a list or a dict'
    )
    return None


def _can_be_saved(key: Any) -> bool:
    """Return whether MMEngine writes a key of a dict in a form that can be read back."""
    if isinstance(key, str):
        return not keyword.iskeyword(key) and repr(key) == f"'{key}'"
    return isinstance(key, int) and not isinstance(key, bool)


def _joined(path: str, key: Any) -> str:
    return f'{path}.{key}' if path else str(key)


def read_saved_config(text: str) -> dict[str, Any]:
    """Return the values of a saved config, lines such as ``model = dict(type='VRT', depths=[8, 7])``.

    A config file is a program, but this runs none of it: only literals, ``dict(...)`` and ``float('inf')`` are read.

    Raises:
        ValueError: The text contains anything else.
    """
    try:
        return {statement.targets[0].id: _literal(statement.value) for statement in ast.parse(text).body}
    except (SyntaxError, TypeError, AttributeError, IndexError, RecursionError, MemoryError) as error:
        raise ValueError(f'{type(error).__name__}: {error}') from error


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        called = getattr(node.func, 'id', None)
        values = list(map(_literal, node.args))
        if called == 'dict':
            return dict(*values, **{argument.arg: _literal(argument.value) for argument in node.keywords})
        if called == 'float' and values in (['inf'], ['-inf'], ['nan']):
            return NonFinite(values[0])
        raise ValueError(f'line {node.lineno} calls {ast.unparse(node.func)}')
    if isinstance(node, ast.Dict):
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(map(_literal, node.elts))
    return ast.literal_eval(node)
