"""Writes a working plugin from a template: a minimal part, its config, a passing test and a README."""

from __future__ import annotations

import os
import re
from pathlib import Path
from string import Template

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.plugins import configs_folder, plugins_folder
from vrtspike.registry import REGISTRIES
from vrtspike.runtime.atomic_write import write_text

TEMPLATES = Path(__file__).parent / 'templates'
"""A working plugin for each kind, such as ``new_fusion`` with the class ``NewFusion``, and a README."""

HERE = '{{ fileDirname }}'  # MMEngine replaces it by the folder of the config

KINDS = {
    'fusion': 'fusion head',
    'tsa': 'temporal self-attention',
    'spike_encoder': 'spike encoder',
    'representation': 'spike representation',
    'hook': 'hook',
}
"""What each kind of part is called in sentences."""


def write_plugin(kind: str, name: str, into: str | Path | None = None) -> list[Path]:
    """Write a plugin's folder with module, config, test and README; return the files.

    Args:
        kind: One of :data:`KINDS`.
        name: The name of the plugin in snake_case; the class gets the same name in CamelCase.
        into: The folder to write it in; None takes the package's ``plugins/``.

    Raises:
        ConfigError: The kind is unknown, the name is invalid or taken, or the folder exists.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no kind of plugin called '{kind}'{did_you_mean(kind, KINDS)}")
    if not re.fullmatch(r'[a-z][a-z0-9_]*', name):
        raise ConfigError(f"a plugin cannot be called '{name}'; expected snake_case, such as my_head")
    home = plugins_folder()
    folder = Path(into or home, name).resolve()
    if folder.exists():
        raise ConfigError(f'{folder} exists; choose another name, or another folder with --into')
    class_name = class_name_of(name)
    refuse_taken(class_name)
    texts = texts_of(kind, name, class_name, folder, is_home=folder.parent == home.resolve())
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in texts]


def texts_of(kind: str, name: str, class_name: str, folder: Path, is_home: bool) -> dict[str, str]:
    """Return the content of every file by file name; ``is_home`` is whether plugins in ``folder`` are found by name."""
    template_name = f'new_{kind}'
    template = TEMPLATES / template_name
    base = configs_folder() / 'vrt_spike_tiny.py'
    replacements = {
        f'vrtspike/scaffolding/templates/{template_name}': show(folder),
        f'../../../../configs/{base.name}': os.path.relpath(base, folder),
        HERE: name if is_home else HERE,
        template_name: name,
        class_name_of(template_name): class_name,
    }
    pattern = re.compile('|'.join(map(re.escape, replacements)))
    texts = {}
    for file in (f'{template_name}.py', 'config.py', f'test_{template_name}.py'):
        text = (template / file).read_text(encoding='utf-8')
        texts[file.replace(template_name, name)] = pattern.sub(lambda match: replacements[match[0]], text)
    readme = Template((TEMPLATES / 'README.md').read_text(encoding='utf-8'))
    return texts | {
        'README.md': readme.safe_substitute(
            plugin=name,
            class_name=class_name,
            what=KINDS[kind],
            folder=show(folder),
            reference=name if is_home else show(folder),
        )
    }


def class_name_of(name: str) -> str:
    """Return snake_case as CamelCase.

    >>> class_name_of('my_head')
    'MyHead'
    """
    return ''.join(word.capitalize() for word in name.split('_'))


def refuse_taken(class_name: str) -> None:
    """Raise :class:`ConfigError` if a part with that name is already registered."""
    owner = next((registry for registry in REGISTRIES if class_name in registry.names()), None)
    if owner is not None:
        raise ConfigError(f"a {owner.name} is called '{class_name}' already; choose another name")


def show(path: Path) -> str:
    """Return a path relative to the working directory if it lies in it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
