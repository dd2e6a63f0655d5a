"""The rooms of the package: which may import which, and that every module has its tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrtspike

PACKAGE = Path(vrtspike.__file__).parent
# Each room imports only those before it.
ROOMS = (
    'errors', 'runtime', 'contracts', 'registry', 'native', 'plugins', 'records', 'profiling', 'ops', 'datasets',
    'metrics', 'models', 'config', 'candidates', 'analysis', 'reporting', 'optim', 'benchmarking', 'hooks', 'engine',
    'inference', 'experiments', 'tuner', 'testing', 'scaffolding', 'export', 'cli',
)  # fmt: skip
# What other rooms may import of a later one, because it depends on nothing itself.
SHARED = {'vrtspike.reporting.table'}
# These promise to work without torch: logs are read on machines that have none.
WITHOUT_TORCH = ('records', 'candidates', 'analysis', 'reporting')
MODULES = sorted(PACKAGE.rglob('*.py'))


def name_of(path: Path) -> str:
    return '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts).removesuffix('.__init__')


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything of ours that a module imports, also inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.startswith('vrtspike.'))


def room_of(name: str) -> str:
    return name.split('.')[1]


def test_every_room_has_its_place():
    rooms = {room_of(name) for name in map(name_of, MODULES) if name != 'vrtspike'}
    assert rooms == set(ROOMS)


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_imports_only_rooms_before_it(room):
    upwards = [
        f'{path.relative_to(PACKAGE)}:{line} imports {name}'
        for path in MODULES
        if name_of(path) != 'vrtspike' and room_of(name_of(path)) == room
        for line, name in imports_of(path)
        if ROOMS.index(room_of(name)) > ROOMS.index(room) and not name.startswith(tuple(SHARED))
    ]
    assert not upwards, '\n'.join(upwards)
