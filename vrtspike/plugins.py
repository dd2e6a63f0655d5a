"""Plugins: parts that live outside the package, loaded only when they are named.

A plugin is a folder with a module (``__init__.py``, or one with the name of the folder), a single ``.py`` file, or an
installed package that declares an entry point in the group ``vrtspike.plugins``. Its module registers its parts with
:mod:`vrtspike.registry`. It is found by location, so neither the working directory nor ``sys.path`` matters.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import mmengine.registry.root as mmengine
from mmengine.registry import Registry

from vrtspike.errors import ConfigError, RegistryError, did_you_mean
from vrtspike.registry import REGISTRIES

GROUP = 'vrtspike.plugins'
PACKAGE = Path(__file__).resolve().parent
# Prefix of the module names of plugins, so that they never equal those of installed packages.
PREFIX = 'vrtspike_plugins'


@dataclass(frozen=True)
class Plugin:
    """A plugin that has been found.

    Args:
        name: Name of its folder, file or entry point.
        reference: Its name in configs: ``name`` if it is found by that, else its absolute path.
        module_name: Name under which its module is imported.
        path: The file to execute; None for an entry point, whose package is imported.
    """

    name: str
    reference: str
    module_name: str
    path: Path | None = None


def load_plugins(names: Sequence[str]) -> list[Plugin]:
    """Import the plugins called ``names``, in order, unless they are already imported.

    Args:
        names: Each is the path of a folder or ``.py`` file (absolute, or relative to the working directory), the name
            of a folder in the repository's ``plugins/``, or the name of an entry point.

    Raises:
        ConfigError: A plugin is not found, fails to import or registers a taken name. The registries then contain
            nothing of this plugin.
    """
    plugins = [find_plugin(name) for name in names]
    if plugins:
        # The package's own names are registered first, so that a plugin that takes one of them gets the error.
        for registry in REGISTRIES:
            registry.import_from_location()
    for plugin in plugins:
        _load(plugin)
    return plugins


def find_plugin(name: str) -> Plugin:
    """Return the plugin called ``name`` without importing it."""
    path = Path(name).expanduser()
    if _looks_like_path(name):
        return _at_path(path, reference=str(path.resolve()))
    if name in shipped_plugins():
        return _at_path(shipped_plugins()[name], reference=name)
    for entry_point in entry_points(group=GROUP):
        if entry_point.name == name:
            return Plugin(name, name, entry_point.module)
    if path.exists():
        return _at_path(path, reference=str(path.resolve()))
    raise ConfigError(_not_found(name))


def shipped_plugins() -> dict[str, Path]:
    """Return the plugin folders that come with the package, by name."""
    folders = [folder for folder in _plugin_roots() if folder.is_dir()]
    return {path.name: path for folder in folders for path in sorted(folder.iterdir()) if _module_of(path) is not None}


def plugins_folder() -> Path:
    """Return the folder of plugins that are found by name: ``plugins/`` of a checkout or of the installed package."""
    return _home() / 'plugins'


def configs_folder() -> Path:
    """Return the folder of the configs that come with the package."""
    return _home() / 'configs'


def _plugin_roots() -> Iterator[Path]:
    yield PACKAGE / '.mim' / 'plugins'
    if _is_checkout():
        yield PACKAGE.parent / 'plugins'


def _home() -> Path:
    return PACKAGE.parent if _is_checkout() else PACKAGE / '.mim'


def _is_checkout() -> bool:
    """Whether the package is in a checkout, not in a folder of installed packages."""
    return (PACKAGE.parent / 'setup.py').is_file()


def _looks_like_path(name: str) -> bool:
    return name.endswith('.py') or name.startswith(('.', '~')) or os.sep in name or '/' in name


def _module_of(path: Path) -> Path | None:
    """Return the file to execute for a plugin at ``path``."""
    if path.suffix == '.py':
        return path if path.is_file() else None
    candidates = (path / '__init__.py', path / f'{path.name.replace("-", "_")}.py')
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _at_path(path: Path, reference: str) -> Plugin:
    path = path.resolve()
    if not path.exists():
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) if siblings else f'; there is no folder {path.parent}'
        raise ConfigError(f"plugin '{reference}' does not exist{hint}")
    module = _module_of(path)
    if module is None:
        expected = f'__init__.py or {path.name.replace("-", "_")}.py'
        raise ConfigError(f"plugin '{reference}' has no module; expected {expected} in {path}")
    return Plugin(path.stem, reference, f'{PREFIX}.{path.stem.replace("-", "_")}', module)


def _not_found(name: str) -> str:
    known = [*shipped_plugins(), *(entry_point.name for entry_point in entry_points(group=GROUP))]
    return (
        f"no plugin is called '{name}': neither a folder of plugins/, nor an entry point of '{GROUP}', nor a path in "
        f'{Path.cwd()}{did_you_mean(name, known)}'
    )


def _load(plugin: Plugin) -> None:
    present = sys.modules.get(plugin.module_name)
    if present is not None:
        if plugin.path is not None and Path(present.__file__ or '') != plugin.path:
            raise ConfigError(
                f"two plugins are called '{plugin.name}': {present.__file__} and {plugin.path}; rename one of them"
            )
        return
    with _unchanged_on_failure(plugin.module_name):
        try:
            _import(plugin)
        except RegistryError as error:
            raise ConfigError(f"plugin '{plugin.name}' ({_where(plugin)}) cannot be registered: {error}") from error
        except Exception as error:
            raise ConfigError(
                f"plugin '{plugin.name}' ({_where(plugin)}) cannot be imported: {_reason(error)}"
            ) from error


def _where(plugin: Plugin) -> str:
    return str(plugin.path or f'module {plugin.module_name}')


def _reason(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f'{error.msg} ({error.filename}, line {error.lineno})'
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f'{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})'


def _import(plugin: Plugin) -> ModuleType:
    if plugin.path is None:
        return importlib.import_module(plugin.module_name)
    # The folder is searched for submodules, so that a plugin may say `from .helper import ...`.
    spec = importlib.util.spec_from_file_location(
        plugin.module_name, plugin.path, submodule_search_locations=[str(plugin.path.parent)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[plugin.module_name] = module
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _unchanged_on_failure(module_name: str) -> Iterator[None]:
    """If the body fails, undo what the package of ``module_name`` registered and imported."""
    registries = every_registry()
    before = [dict(registry.module_dict) for registry in registries]
    modules = set(sys.modules)
    try:
        yield
    except BaseException:
        owner = module_name if module_name.startswith(PREFIX) else module_name.partition('.')[0]
        for registry, entries in zip(registries, before, strict=True):
            _undo(registry, entries, owner)
        for name in set(sys.modules) - modules:
            if _belongs(name, owner):
                del sys.modules[name]
        raise


def every_registry() -> list[Registry]:
    """Return our registries and those of MMEngine, which have further parts for our configs."""
    return [*REGISTRIES, *(value for value in vars(mmengine).values() if isinstance(value, Registry))]


def _undo(registry: Registry, before: dict[str, Any], owner: str) -> None:
    for name, part in list(registry.module_dict.items()):
        if before.get(name) is part or not _belongs(getattr(part, '__module__', ''), owner):
            continue
        if name in before:
            registry.module_dict[name] = before[name]
        else:
            del registry.module_dict[name]


def _belongs(module_name: str, owner: str) -> bool:
    return module_name == owner or module_name.startswith(f'{owner}.')
