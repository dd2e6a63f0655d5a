"""Runs the tool as its users do; its config names a network that a plugin brings, so that none of ours is needed."""

from pathlib import Path

import pytest
from mmengine.config import Config
from tool_processes import run_tool

PLUGIN = """
from torch import nn
from vrtspike.registry import MODELS

@MODELS.register_module()
class PrintedNetwork(nn.Module):
    def __init__(self, width=4, **anything):
        super().__init__()
        self.anything = anything
"""
CONFIG = """
plugins = ['./printed.py']
model = dict(type='PrintedNetwork', colour='red')
train_cfg = dict(by_epoch=False, max_iters=100)
cpu_overrides = {'train_cfg.max_iters': 5}
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('print_config')
    (folder / 'printed.py').write_text(PLUGIN)
    (folder / 'config.py').write_text(CONFIG)
    (folder / 'child.py').write_text("_base_ = './config.py'\nmodel = dict(width=8)\n")
    return folder


def test_output_is_the_resolved_config(folder):
    done = run_tool('print_config', 'config.py', '--cpu', '--cfg-options', 'model.width=16', cwd=folder)
    assert done.returncode == 0, done.stderr
    config = Config.fromstring(done.stdout, '.py')
    assert config.model == {'type': 'PrintedNetwork', 'colour': 'red', 'width': 16}
    assert config.train_cfg.max_iters == 5
    assert config.plugins == [str(folder / 'printed.py')]
    assert '\x1b' not in done.stdout


def test_what_could_not_be_checked_is_noted_apart(folder):
    done = run_tool('print_config', 'config.py', cwd=folder)
    assert 'note: model.colour: not checked, since PrintedNetwork takes any key' in done.stderr
    assert 'note' not in done.stdout


def test_difference(folder):
    done = run_tool('print_config', 'child.py', '--diff-from', 'config.py', cwd=folder)
    assert done.returncode == 0, done.stderr
    changed = [line for line in done.stdout.splitlines() if line[:1] in '+-' and line[:3] not in ('+++', '---')]
    assert 'width=8' in ' '.join(changed)
    assert not [line for line in changed if 'max_iters' in line]


def test_wrong_config_ends_in_its_problems(folder):
    done = run_tool('print_config', 'config.py', '--cfg-options', 'train_cfg.max_itres=3', cwd=folder)
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.startswith('error: config.py: one problem\n')
    assert "did you mean 'max_iters'? (from --cfg-options)" in done.stderr
    assert 'Traceback' not in done.stderr


def test_missing_config(folder):
    done = run_tool('print_config', 'confg.py', cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith('error: no config file confg.py')
    assert "did you mean 'config.py'?" in done.stderr


def test_malformed_option(folder):
    assert run_tool('print_config', 'config.py', '--cfg-options', 'oops', cwd=folder).returncode == 2
