"""Reads a config file with what it inherits, and says in one line what is wrong with one that cannot be read."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from vrtspike.errors import ConfigError, did_you_mean


def read_config(path: str | Path) -> Config:
    """Return the config of ``path`` with what it inherits, neither overridden nor checked.

    Top-level names that begin with an underscore are the file's own variables and are left out.

    Raises:
        ConfigError: Where the file or one it inherits from is missing or cannot be executed.
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


def _missing(path: Path) -> str:
    if path.is_dir():
        return f'{path} is a folder; expected a config file, such as {path}/NAME.py'
    siblings = [sibling.name for sibling in path.parent.glob('*.py')]
    hint = did_you_mean(path.name, siblings) if siblings else f'; the folder {path.parent} holds no configs'
    return f'no config file {path} (working directory: {Path.cwd()}){hint}'


def _reason(path: Path, error: Exception) -> str:
    """Say in one line what a config file did wrong and where."""
    if isinstance(error, SyntaxError):
        return next(_syntax_errors(path), str(error))
    if isinstance(error, RecursionError):
        return 'it inherits from itself; take it out of the _base_ of what it inherits from'
    executed = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == '<module>']
    where = f' ({executed[-1].filename}, line {executed[-1].lineno})' if executed else ''
    return f'{type(error).__name__}: {" ".join(str(error).split())}{where}'


def _syntax_errors(path: Path) -> Iterator[str]:
    """Yield the syntax errors of the files that ``path`` inherits from, then its own: MMEngine names neither."""
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
