import json
from pathlib import Path

import pytest
from tool_processes import run_tool

from vrtspike import registry

PLUGIN = '''
from torch import nn
from vrtspike.registry import FUSION_HEADS

@FUSION_HEADS.register_module(name='Listed')
class ListedHead(nn.Module):
    """One line [that] says
    it all.

    And more.
    """
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('list_modules')
    (folder / 'listed.py').write_text(PLUGIN)
    return folder


@pytest.fixture(scope='module')
def listing(folder) -> dict:
    done = run_tool('list_modules', '--json', '--plugins', './listed.py', cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_registry_with_its_contract(listing):
    assert {name for name in vars(registry) if name in listing} == set(listing)
    assert len(listing) == len(registry.REGISTRIES)
    assert listing['FUSION_HEADS']['contract'] == registry.FUSION_HEADS.contract.text
    assert listing['FUSION_HEADS']['name'] == 'fusion head'


def test_module_record(listing):
    listed = next(module for module in listing['FUSION_HEADS']['modules'] if module['name'] == 'Listed')
    assert listed == {
        'name': 'Listed',
        'class': 'ListedHead',
        'module': 'vrtspike_plugins.listed',
        'doc': 'One line [that] says it all.',
    }


def test_registered_names_are_all_there(listing):
    for name, record in listing.items():
        known = getattr(registry, name)
        known.names()  # imports the package's own modules
        # Other tests of this process may have registered parts of their own.
        ours = {part for part, cls in known.module_dict.items() if cls.__module__.startswith('vrtspike.')}
        assert ours <= {module['name'] for module in record['modules']}


def test_table_of_one_registry_with_inherited_parts(folder):
    done = run_tool('list_modules', '--registry', 'hooks', '--all', cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f'HOOKS (hook): {registry.HOOKS.contract.text}'
    row = next(line.split() for line in lines if line.split()[:1] == ['CheckpointHook'])
    assert row[:3] == ['CheckpointHook', 'CheckpointHook', 'mmengine.hooks.checkpoint_hook']
    assert not [line for line in lines if line.startswith('TSA')]


def test_unknown_registry(folder):
    done = run_tool('list_modules', '--registry', 'FUSION_HAEDS', cwd=folder)
    assert done.returncode == 1
    assert done.stderr == "error: there is no registry 'FUSION_HAEDS'; did you mean 'FUSION_HEADS'?\n"


def test_missing_plugin(folder):
    done = run_tool('list_modules', '--plugins', 'nowhere', cwd=folder)
    assert done.returncode == 1
    assert "error: no plugin is called 'nowhere'" in done.stderr
    assert 'Traceback' not in done.stderr
