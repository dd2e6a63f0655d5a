"""Variants of a base config: overrides, or what a plugin changes."""

from __future__ import annotations

import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vrtspike.errors import ConfigError
from vrtspike.plugins import find_plugin
from vrtspike.runtime.text_files import read_yaml_mapping

REFERENCE = 'reference'
"""Name of the variant that the others are compared with: the base config, unless a variant has this name."""


class Variant(msgspec.Struct, frozen=True):
    """One row of an ablation.

    Args:
        name: Name of the row and of the folder of its runs.
        overrides: Dotted keys of the config and their values.
        plugins: Plugins to load.
    """

    name: str
    overrides: Mapping[str, Any] = msgspec.field(default_factory=dict)
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r'[\w.+-]+', self.name) or self.name.startswith('.'):
            raise ConfigError(
                f'a variant is called {self.name!r}; expected a folder name of letters, digits and any of _ . + -'
            )


def read_variants(path: str | Path) -> list[Variant]:
    """Return the variants of a YAML file: names mapped to overrides, optionally with the key ``plugins``.

        concat:
          model.fusion: {_delete_: true, type: ConcatFusion}
        film:
          plugins: [spike_modulation]

    Raises:
        ConfigError: The file cannot be read or has another structure.
    """
    expected = 'names of variants, each with a mapping of dotted keys to values'
    entries = read_yaml_mapping(Path(path), expected, ConfigError)
    if not all(isinstance(value, (dict, type(None))) for value in entries.values()):
        raise ConfigError(f'{path}: expected {expected}')
    variants = []
    for name, entry in entries.items():
        overrides = dict(entry or {})
        plugins = overrides.pop('plugins', [])
        variants.append(Variant(str(name), overrides, (plugins,) if isinstance(plugins, str) else tuple(plugins)))
    return variants


def plugin_variant(name: str) -> Variant:
    """Return the variant that a plugin's ``config.py`` describes: what it changes in its parent config.

    Raises:
        ConfigError: The plugin has no ``config.py``, or one that cannot be read.
    """
    plugin = find_plugin(name)
    path = plugin.path.parent / 'config.py' if plugin.path is not None else None
    if path is None or not path.is_file():
        raise ConfigError(
            f"plugin '{name}' has no config.py that says what it changes; give the overrides yourself, as in "
            f'--variant {plugin.name} model.fusion._delete_=True model.fusion.type=... --plugins {name}'
        )
    try:
        names = runpy.run_path(str(path))
    except Exception as error:
        raise ConfigError(f'{path} cannot be read: {type(error).__name__}: {error}') from error
    own = {key: value for key, value in names.items() if not key.startswith('_') and key != 'plugins'}
    return Variant(plugin.name, own, (name,))


def complete(variants: Sequence[Variant]) -> list[Variant]:
    """Return ``variants`` with the reference among them, first.

    Raises:
        ConfigError: Two variants have the same name.
    """
    names = [variant.name for variant in variants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f'two variants are called {twice[0]!r}; give one of them another name')
    reference = [variant for variant in variants if variant.name == REFERENCE] or [Variant(REFERENCE)]
    return [*reference, *(variant for variant in variants if variant.name != REFERENCE)]
