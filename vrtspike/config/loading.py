"""Resolves a config: inheritance, overrides, plugins, validation, then the values that depend on others.

Values come from the file and those it inherits from, then from its ``cpu_overrides`` if the caller asks for them, then
from the command line. The last one wins.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from vrtspike.config import data
from vrtspike.config.hooks import remove_disabled_hooks
from vrtspike.config.reading import inherited, read_config
from vrtspike.config.teacher import resolve_teacher
from vrtspike.config.validation import check_config
from vrtspike.config.values import plain_values
from vrtspike.config.warm_up import resolve_warm_up
from vrtspike.errors import ConfigError, listed
from vrtspike.plugins import load_plugins


def load_config(
    path: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
    cpu_overrides: bool = False,
) -> Config:
    """Return the resolved and checked config of ``path``.

    Resolving changes these parts:

    - ``data`` is copied into every ClipDataset without a ``source``. It reads no spikes if the network uses none.
    - ``plugins`` lists the plugins that were loaded.
    - ``'warm_up'`` in a schedule becomes a number of iterations.
    - Hooks that are None are removed, and so are the options for worker processes of data loaders without any.
    - ``cpu_overrides`` is removed, so that a dumped config is never overridden again. Applied ones are recorded as
      ``applied_cpu_overrides``.

    Args:
        path: A config file.
        overrides: Dotted keys and their values, as ``--cfg-options`` gives them.
        plugins: Plugins to load besides those in the config; see :func:`vrtspike.plugins.load_plugins`.
        cpu_overrides: Whether to apply the config's ``cpu_overrides``.

    Raises:
        ConfigError: Lists every problem of the config at once, one per line.
    """
    config = read_config(path)
    data.remove_copies(config)
    from_cpu = _take_cpu_overrides(config, path)
    if cpu_overrides and from_cpu:
        _merge(config, from_cpu, f'{path}: cpu_overrides')
        config.applied_cpu_overrides = from_cpu
    try:
        overrides = plain_values(overrides or {})
    except ConfigError as error:
        raise ConfigError(f'--cfg-options: {error}') from error
    source_in_files = copy.deepcopy(config.get('data'))
    _merge(config, overrides, '--cfg-options')
    _load_plugins_of(config, plugins)
    data.drop_arguments_of_replaced_source(config, itertools.chain([source_in_files], inherited(path, 'data')))
    resolve_teacher(config, load_config)
    config.setdefault('default_scope', 'vrtspike')
    data.copy_to_datasets(config)
    origins = dict.fromkeys(from_cpu if cpu_overrides else (), 'cpu_overrides')
    origins |= dict.fromkeys(overrides, '--cfg-options')
    problems = check_config(config).problems
    if not problems:
        problems = _resolve_dependent_values(config)
    if problems:
        raise ConfigError(f'{path}: {listed([_with_origin(problem, origins) for problem in problems])}')
    return config


def _resolve_dependent_values(config: Config) -> list[str]:
    """Write the values that depend on others into the config; return the problems."""
    remove_disabled_hooks(config)
    data.remove_worker_options(config)
    try:
        resolve_warm_up(config)
    except ConfigError as error:
        return [str(error)]
    return []


def _take_cpu_overrides(config: Config, path: str | Path) -> dict[str, Any]:
    """Remove ``cpu_overrides`` from the config and return them."""
    overrides = config.pop('cpu_overrides', None) or {}
    if not isinstance(overrides, dict):
        raise ConfigError(f'{path}: cpu_overrides: expected dotted keys and values, found {overrides!r}')
    of_model = [key for key in overrides if key.split('.')[0] == 'model']
    if of_model:
        raise ConfigError(
            f'{path}: cpu_overrides: {", ".join(map(repr, of_model))} would change the network; '
            'CPU overrides may shorten a run (crop, batch, iterations, workers), never alter what is trained'
        )
    return dict(overrides)


def _merge(config: Config, overrides: Mapping[str, Any], origin: str) -> None:
    """Merge dotted keys into the config at once, so that ``a._delete_=True`` applies to the other keys of ``a``."""
    try:
        config.merge_from_dict(copy.deepcopy(dict(overrides)))
    except Exception as error:
        raise ConfigError(f'{origin}: {_culprit(config, overrides)}') from error


def _culprit(config: Config, overrides: Mapping[str, Any]) -> str:
    """Return a message about the override that cannot be merged."""
    for key, value in overrides.items():
        try:
            copy.deepcopy(config).merge_from_dict({key: copy.deepcopy(value)})
        except Exception as error:
            return f"'{key}' cannot be set to {value!r}: {_deepest_node(config, key)} ({type(error).__name__}: {error})"
    return f'{", ".join(map(repr, overrides))} contradict each other: one sets a value that another sets keys in'


def _deepest_node(config: Config, key: str) -> str:
    """Describe the deepest existing node on the path of an override."""
    node: Any = config._cfg_dict
    seen: list[str] = []
    for step in key.split('.'):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, (list, tuple)) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            break
        seen.append(step)
    kind = f'{".".join(seen)} is {node!r}' if not isinstance(node, dict) else f'{".".join(seen) or "it"} is a dict'
    return f'{kind}; give the whole value instead' if isinstance(node, (list, tuple)) else kind


def _load_plugins_of(config: Config, plugins: Sequence[str]) -> None:
    """Load the plugins of the config and of the caller; record them, so that a dumped config loads them too."""
    named = config.get('plugins') or []
    named = [named] if isinstance(named, str) else named
    if not (isinstance(named, (list, tuple)) and all(isinstance(name, str) for name in named)):
        raise ConfigError(f'plugins: expected a list of names or paths, found {named!r}')
    loaded = load_plugins([*named, *plugins])
    if loaded:
        config.plugins = list(dict.fromkeys(plugin.reference for plugin in loaded))


def _with_origin(problem: str, origins: Mapping[str, str]) -> str:
    path = problem.partition(':')[0]
    origin = next((origins[key] for key in origins if path == key or key.startswith(f'{path}.')), None)
    return f'{problem} (from {origin})' if origin else problem
