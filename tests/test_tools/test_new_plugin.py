"""A new plugin of every kind works as it was written: its test passes and its config holds together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tool_processes import run_pytest, run_tool

from vrtspike.config import load_config
from vrtspike.errors import ConfigError
from vrtspike.registry import REGISTRIES
from vrtspike.scaffolding import KINDS, write_plugin
from vrtspike.scaffolding.writing import class_name_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registries_as_they_were():
    """Forget what a test's plugins register."""
    for registry in REGISTRIES:
        registry.import_from_location()
    before = [dict(registry.module_dict) for registry in REGISTRIES]
    yield
    for registry, entries in zip(REGISTRIES, before, strict=True):
        registry.module_dict.clear()
        registry.module_dict.update(entries)


def test_the_tool_writes_a_plugin_whose_test_passes(tmp_path):
    process = run_tool('new_plugin', 'fusion', 'brand_new', '--into', 'mine', cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    folder = tmp_path / 'mine/brand_new'
    files = sorted(path.name for path in folder.iterdir())
    assert files == ['README.md', 'brand_new.py', 'config.py', 'test_brand_new.py']
    tested = run_pytest('-p', 'no:cacheprovider', 'mine/brand_new', cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert '1 passed' in tested.stdout


@pytest.mark.parametrize('kind', KINDS)
def test_the_config_of_every_kind_holds_together(kind, tmp_path, monkeypatch, registries_as_they_were):
    name = f'written_{kind}_{os.getpid()}'
    write_plugin(kind, name, tmp_path)
    monkeypatch.chdir('/')
    config = load_config(tmp_path / name / 'config.py')
    assert class_name_of(name) in config.pretty_text
    assert config.plugins == [str(tmp_path / name)]


def test_ruff_has_nothing_to_say(tmp_path, monkeypatch):
    pytest.importorskip('ruff')
    monkeypatch.chdir(tmp_path)  # a plugin names its own place, and that of a test is long
    for kind in KINDS:
        write_plugin(kind, f'written_{kind}', Path())
    for command in (['check'], ['format', '--diff']):
        ruff = [sys.executable, '-m', 'ruff', *command, '--config', ROOT / 'pyproject.toml', tmp_path]
        process = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
        assert process.returncode == 0, process.stdout


@pytest.mark.parametrize(
    ('kind', 'name', 'message'),
    [
        ('fusoin', 'x', "no kind of plugin called 'fusoin'; did you mean 'fusion'"),
        ('fusion', 'MyHead', "cannot be called 'MyHead'; expected snake_case"),
        ('fusion', '../x', 'expected snake_case'),
        ('fusion', 'gated_fusion', "a fusion head is called 'GatedFusion' already"),
    ],
)
def test_what_cannot_work_is_refused(kind, name, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        write_plugin(kind, name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / 'mine').mkdir()
    process = run_tool('new_plugin', 'fusion', 'mine', '--into', tmp_path, cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr.startswith('error: ')
    assert 'exists; choose another name' in process.stderr
    assert list((tmp_path / 'mine').iterdir()) == []
