"""Writes a new plugin that works: a part that does little yet, its config, a passing test and a README."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vrtspike.errors import ConfigError, did_you_mean
from vrtspike.plugins import configs_folder, plugins_folder
from vrtspike.registry import REGISTRIES
from vrtspike.runtime.atomic_write import written_aside
from vrtspike.scaffolding.kinds import KINDS, Kind

MODULE = '''"""A {what}: say here what it does, in one sentence, and where the idea comes from."""

from __future__ import annotations

{imports}
from vrtspike.registry import {registry}


@{registry}.register_module()
class {name}{base}:
{body}'''

CONFIG = '''"""The tiny network with {name}, a {what}.

python tools/train.py {folder}/config.py
"""

_base_ = {base_config!r}
plugins = [{named!r}]
{settings}
'''

TEST = """from pathlib import Path

import pytest

from vrtspike.plugins import load_plugins
from vrtspike.testing import {check}


@pytest.fixture(autouse=True)
def loaded():
    load_plugins([str(Path(__file__).parent)])


def test_keeps_what_a_{test_name}_promises():
    {check}(dict(type={name!r}))
"""

README = """# {plugin}

`{name}`, a {what}: say here what it does and where the idea comes from.

```console
$ python tools/train.py {folder}/config.py
$ python -m pytest {folder}
```

## Measured

Nothing yet. Compare it with the baseline:

```console
$ python tools/ablate.py configs/vrt_spike_lite.py --plugin-variants {reference}
```
"""


def write_plugin(kind: str, name: str, into: str | Path | None = None) -> list[Path]:
    """Write a plugin's folder with module, config, test and README; return the files.

    Args:
        kind: One of :data:`~vrtspike.scaffolding.kinds.KINDS`.
        name: Of the plugin, in snake_case; the class is called the same in CamelCase.
        into: The folder to write it in; None takes the repository's ``plugins/``.

    Raises:
        ConfigError: The kind is unknown, the name is none or taken, or the folder exists.
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
    texts = texts_of(KINDS[kind], name, class_name, folder, is_home=folder.parent == home.resolve())
    return [write(folder / file, text) for file, text in texts.items()]


def texts_of(kind: Kind, name: str, class_name: str, folder: Path, is_home: bool) -> dict[str, str]:
    """Return the content of every file, by its name.

    Args:
        kind: What the plugin registers.
        name: Of the plugin.
        class_name: Of its class.
        folder: Where it will lie.
        is_home: Whether it is found there by its name alone.
    """
    values = dict(
        plugin=name,
        name=class_name,
        folder=show(folder),
        reference=name if is_home else show(folder),
        # MMEngine replaces this by the folder of the config, wherever that is.
        named=name if is_home else '{{ fileDirname }}',
        base_config=os.path.relpath(configs_folder() / 'vrt_spike_tiny.py', folder),
        what=kind.what,
        test_name=re.sub(r'\W+', '_', kind.what),
        registry=kind.registry,
        imports=kind.imports,
        base=f'({kind.base})' if kind.base else '',
        body=kind.body,
        check=kind.check,
        settings=kind.config.format(name=class_name, plugin=name),
    )
    templates = {f'{name}.py': MODULE, 'config.py': CONFIG, f'test_{name}.py': TEST, 'README.md': README}
    return {file: template.format(**values) for file, template in templates.items()}


def class_name_of(name: str) -> str:
    """Return snake_case as CamelCase.

    >>> class_name_of('my_head')
    'MyHead'
    """
    return ''.join(word.capitalize() for word in name.split('_'))


def refuse_taken(class_name: str) -> None:
    """Raise :class:`ConfigError` where a part of that name is registered already."""
    owner = next((registry for registry in REGISTRIES if class_name in registry.names()), None)
    if owner is not None:
        raise ConfigError(f"a {owner.name} is called '{class_name}' already; choose another name")


def show(path: Path) -> str:
    """Return a path as a user in this working directory would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def write(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding='utf-8')
    return path
