"""Where a training starts."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from vrtspike.engine import start
from vrtspike.engine.run_folder import AUTO, LATEST
from vrtspike.engine.start import set_start, start_from_weights
from vrtspike.errors import CheckpointError


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """What a checkpoint has to contain is tested with resuming."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(start, 'check_resumable', lambda *arguments: None)


def checkpoint(path, **content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': {'weight': torch.zeros(1)}, **content}, path)
    return path


def test_automatically_from_scratch_then_from_the_latest():
    config = Config(dict(work_dir='run'))
    set_start(config, AUTO, None, trust=False)
    assert not config.resume
    checkpoint('run/iter_3.pth')
    set_start(config, AUTO, None, trust=False)
    assert (config.load_from, config.resume) == ('run/iter_3.pth', True)


def test_from_scratch():
    config = Config(dict(work_dir='run'))
    set_start(config, None, None, trust=False)
    assert not config.resume
    assert 'load_from' not in config


def test_weights_alone():
    config = Config(dict(work_dir='run'))
    set_start(config, None, str(checkpoint('weights.pth')), trust=False)
    assert (config.load_from, config.resume) == ('weights.pth', False)


def test_a_checkpoint_to_start_from_is_read_once(monkeypatch):
    reads, load, source = [], torch.load, torch.nn.Linear(2, 1)
    monkeypatch.setattr(torch, 'load', lambda path, **options: reads.append(path) or load(path, **options))
    torch.save(source.state_dict(), 'weights.pth')
    Path('run').mkdir()
    config = Config(dict(work_dir='run'))
    loaded = set_start(config, None, 'weights.pth', trust=False)
    runner = SimpleNamespace(model=torch.nn.Linear(2, 1), work_dir='run', logger=logging.getLogger(), cfg={})
    start_from_weights(runner, config.load_from, False, loaded)
    assert reads == [Path('weights.pth')]
    assert not loaded
    assert torch.equal(runner.model.weight, source.weight)


def test_a_checkpoint_to_resume():
    config = Config(dict(work_dir='run'))
    set_start(config, str(checkpoint('run/iter_3.pth')), None, trust=False)
    assert (config.load_from, config.resume) == ('run/iter_3.pth', True)


def test_a_folder_to_resume():
    checkpoint('run/iter_3.pth')
    checkpoint('run/iter_4.pth')
    config = Config(dict(work_dir='elsewhere'))
    set_start(config, 'run', None, trust=False)
    assert (config.load_from, config.resume) == ('run/iter_4.pth', True)


def test_the_latest_is_found_without_the_file_that_names_it():
    checkpoint('run/iter_3.pth')
    checkpoint('run/iter_12.pth')
    config = Config(dict(work_dir='run'))
    set_start(config, LATEST, None, trust=False)
    assert (config.load_from, config.resume) == ('run/iter_12.pth', True)


def test_only_the_best_weights_to_start_from():
    checkpoint('run/best_psnr_iter_4.pth')
    with pytest.raises(CheckpointError, match=r'start from the weights of run/best_psnr_iter_4\.pth with --load-from'):
        set_start(Config(dict(work_dir='run')), LATEST, None, trust=False)


def test_nothing_to_resume():
    with pytest.raises(CheckpointError, match='no checkpoint in run to resume'):
        set_start(Config(dict(work_dir='run')), LATEST, None, trust=False)


@pytest.mark.parametrize('argument', ['resume', 'load_from'])
def test_a_missing_checkpoint(argument):
    arguments = dict(resume=None, load_from=None) | {argument: 'absent.pth'}
    with pytest.raises(CheckpointError, match=r'absent\.pth does not exist'):
        set_start(Config(dict(work_dir='run')), **arguments, trust=False)


def test_code_in_a_checkpoint_needs_trust():
    path = str(checkpoint('run/iter_1.pth', code=Path('x')))
    with pytest.raises(CheckpointError, match='--trust-checkpoint'):
        set_start(Config(dict(work_dir='run')), path, None, trust=False)
    set_start(Config(dict(work_dir='run')), path, None, trust=True)
