"""Runs the tool as its users do, for two steps."""

import runpy
from functools import partial

from tool_processes import ROOT, run_tool

from vrtspike.engine import flow_pretraining
from vrtspike.engine.flow_pretraining import FlowTraining
from vrtspike.models.layers.flow import SpyNet, load_spynet


def test_a_short_run_writes_a_level_and_measures_it(tmp_path, monkeypatch, capsys):
    """In this process, where it is measured on fewer pairs."""
    monkeypatch.setattr(flow_pretraining, 'evaluate', partial(flow_pretraining.evaluate, pairs=2))
    arguments = ['--out', tmp_path / 'level.pth', '--iterations', 2, '--pairs', 2]
    monkeypatch.setattr('sys.argv', ['pretrain_spynet.py', *map(str, arguments)])
    runpy.run_path(str(ROOT / 'tools/pretrain_spynet.py'))['main']()
    said = capsys.readouterr().out
    load_spynet(SpyNet(), tmp_path / 'level.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['level.pth']
    for size in ('96x96', '128x128'):
        assert f'{size}: end-point error on new pairs ' in said


def test_a_senseless_number_ends_in_one_line(tmp_path):
    result = run_tool('pretrain_spynet', '--out', tmp_path / 'level.pth', '--iterations', 0)
    assert result.returncode == 1
    assert result.stderr.startswith('error: flow pretraining: iterations=0; expected')
    assert result.stderr.count('\n') == 1
    assert not list(tmp_path.iterdir())


def test_a_directory_is_refused_before_training(tmp_path):
    result = run_tool('pretrain_spynet', '--out', tmp_path)
    assert result.returncode == 1
    assert f'error: --out {tmp_path} is a directory' in result.stderr


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / 'file').touch()
    result = run_tool('pretrain_spynet', '--out', tmp_path / 'file/level.pth')
    assert result.returncode == 1
    assert result.stderr.startswith(f'error: --out {tmp_path / "file/level.pth"} cannot be written: ')
    assert result.stderr.count('\n') == 1


def test_help_states_the_defaults():
    text = ' '.join(run_tool('pretrain_spynet', '--help').stdout.split())
    defaults = FlowTraining()
    for name in ('iterations', 'pairs', 'seed'):
        assert f'(default: {getattr(defaults, name)})' in text
