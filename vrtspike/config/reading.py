"""Reads a config file with what it inherits; a file that cannot be read is one line of error."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vrtspike.errors import ConfigError, did_you_mean


def read_config(path: str | Path) -> Config:
    """Return the config of ``path`` with what it inherits, without overrides and unchecked.

    Top-level names that begin with an underscore are variables of the file and are left out.

    Raises:
        ConfigError: The file, or one that it inherits from, is missing or cannot be executed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ConfigError(_missing(path))
    try:
        config = Config.fromfile(str(path), lazy_import=False)
    except Exception as error:
        raise ConfigError(f'{path} cannot be read: {_reason(path, error)}') from error
    for key in [key for key in config if key.startswith('_')]:
        config.pop(key)
    return config


def inherited(path: str | Path, key: str) -> Iterator[Any]:
    """Yield the value of a top-level key in the files that ``path`` inherits from, the nearest first."""
    path = Path(path).expanduser()
    for base in (path.parent / base for base in Config._get_base_files(str(path))):
        if base.is_file():
            yield read_config(base).get(key)
            yield from inherited(base, key)


def _missing(path: Path) -> str:
    if path.is_dir():
        return f'{path} is a folder; expected a config file, such as {path}/NAME.py'
    siblings = [sibling.name for sibling in path.parent.glob('*.py')]
    hint = did_you_mean(path.name, siblings) if siblings else f'; the folder {path.parent} holds no configs'
    return f'no config file {path} (working directory: {Path.cwd()}){hint}'


def _reason(path: Path, error: Exception) -> str:
    """Return in one line what went wrong in a config file, and where."""
    if isinstance(error, SyntaxError):
        return next(_syntax_errors(path), str(error))
    if isinstance(error, RecursionError):
        return 'it inherits from itself; take it out of the _base_ of what it inherits from'
    executed = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == '<module>']
    where = f' ({executed[-1].filename}, line {executed[-1].lineno})' if executed else ''
    return f'{type(error).__name__}: {" ".join(str(error).split())}{where}'


def _syntax_errors(path: Path) -> Iterator[str]:
    """Yield the syntax errors of the files that ``path`` inherits from, then its own; MMEngine names no file."""
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
    except SyntaxError as error:
        yield f'{error.msg} ({path}, line {error.lineno})'
        return
    for base in _bases(tree):
        if (path.parent / base).is_file():
            yield from _syntax_errors(path.parent / base)


def _bases(tree: ast.Module) -> list[str]:
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    value = next((node.value for node in assigned if node.targets[0].id == '_base_'), ast.List([]))
    return [node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
