"""Reads a config file and the files it inherits from. If one cannot be read, the error is one line."""

from __future__ import annotations

import ast
import io
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmengine.config.config
import yaml
from mmengine.config import Config
from mmengine.fileio import register_handler
from mmengine.fileio.handlers import YamlHandler

from vrtspike.config.values import NonFinite, plain_values
from vrtspike.errors import ConfigError, did_you_mean, explain_os_error
from vrtspike.runtime.text_files import parse_yaml_mapping, read_text

READ_BASE = (
    'is in the pure Python style of MMEngine (read_base), which is not supported: inherit with '
    "_base_ = ['./base.py'] and write types as text, as in type='AdamW' (docs/config.md)"
)


def read_config(path: str | Path) -> Config:
    """Return the config of ``path``, merged with those it inherits from, without overrides and unchecked.

    Top-level names that begin with an underscore are variables of the file. They are left out.

    Raises:
        ConfigError: The file, or one that it inherits from, is missing or cannot be executed, or a value cannot be
            saved.
    """
    path = Path(path).expanduser()
    try:
        if not path.is_file():
            raise ConfigError(_missing(path))
        config = Config.fromfile(str(path), lazy_import=False)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        reason = _reason(path, error)
        names_file = reason.startswith(str(path))
        raise ConfigError(reason if names_file else f'{path} cannot be read: {reason}') from error
    for key in [key for key in config if key.startswith('_')]:
        config.pop(key)
    try:
        config.update(plain_values(config.to_dict()))
    except ConfigError as error:
        raise ConfigError(f'{path}: {error}') from error
    return config


def inherited(path: str | Path, key: str) -> Iterator[Any]:
    """Yield the value of a top-level key in the files that ``path`` inherits from, the nearest first."""
    path = Path(path).expanduser()
    for base in (path.parent / base for base in Config._get_base_files(str(path))):
        if base.is_file():
            yield read_config(base).get(key)
            yield from inherited(base, key)


def _open(file: str, mode: str = 'r', encoding: str | None = None) -> io.TextIOBase:
    """Open a file as MMEngine does, but skip the byte order mark that Windows editors write."""
    return open(file, mode, encoding='utf-8-sig' if (mode, encoding) == ('r', 'utf-8') else encoding)


mmengine.config.config.open = _open


class ConfigDumper(yaml.SafeDumper):
    """Writes the values of a config so that they can be read without running code."""


ConfigDumper.add_representer(tuple, ConfigDumper.represent_list)
ConfigDumper.add_representer(NonFinite, lambda dumper, value: dumper.represent_float(float(value)))


@register_handler(['yaml', 'yml'])
class SafeYamlHandler(YamlHandler):
    """Reads and writes YAML configs. MMEngine's own handler runs code that the file names."""

    def load_from_fileobj(self, file: io.TextIOBase, **kwargs: Any) -> dict[str, Any]:
        return parse_yaml_mapping(file.read(), 'keys such as model and train_cfg')

    def dump_to_fileobj(self, obj: Any, file: io.TextIOBase, **kwargs: Any) -> None:
        super().dump_to_fileobj(obj, file, Dumper=ConfigDumper, **kwargs)

    def dump_to_str(self, obj: Any, **kwargs: Any) -> str:
        return super().dump_to_str(obj, Dumper=ConfigDumper, **kwargs)


def _missing(path: Path) -> str:
    if path.is_dir():
        return f'{path} is a folder; expected a config file, such as {path}/NAME.py'
    if '\\' in str(path) and os.sep == '/':
        return f"no config file {path}; write the folders with '/'"
    siblings = [sibling.name for sibling in path.parent.glob('*.py')]
    hint = did_you_mean(path.name, siblings) if siblings else f'; the folder {path.parent} contains no configs'
    return f'no config file {path} (working directory: {Path.cwd()}){hint}'


def _reason(path: Path, error: BaseException) -> str:
    """Return one line that says what went wrong in a config file, and where."""
    if isinstance(error, RecursionError):
        return 'it inherits from itself; remove it from the _base_ of the files it inherits from'
    problem = next(_problems_of_text(path), None)
    if problem:
        return problem
    if isinstance(error, OSError) and error.errno:
        return explain_os_error(error)
    executed = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == '<module>']
    where = f' ({executed[-1].filename}, line {executed[-1].lineno})' if executed else ''
    return f'{type(error).__name__}: {" ".join(str(error).split())}{where}'


def _problems_of_text(path: Path) -> Iterator[str]:
    """Yield the problems in the text of a config file and of the files it inherits from.

    MMEngine's errors do not name the file.
    """
    try:
        tree = ast.parse(read_text(path, ConfigError) if path.suffix == '.py' else '')
    except ConfigError as error:
        yield str(error)
        return
    except SyntaxError as error:
        yield f'{error.msg} ({path}, line {error.lineno})'
        return
    if any(isinstance(node, ast.Name) and node.id == 'read_base' for node in ast.walk(tree)):
        yield f'{path} {READ_BASE}'
    for base in _bases(tree):
        if (path.parent / base).is_file():
            yield from _problems_of_text(path.parent / base)
        elif '\\' in base and os.sep == '/':
            yield f"{path} inherits from {base!r}: write the folders with '/'"


def _bases(tree: ast.Module) -> list[str]:
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    value = next((node.value for node in assigned if node.targets[0].id == '_base_'), ast.List([]))
    return [node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
