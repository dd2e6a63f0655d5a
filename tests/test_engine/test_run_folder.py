"""Which folder a run gets, and which checkpoints are in it; contents of checkpoints are tested with resuming."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from vrtspike.engine import run_folder
from vrtspike.engine.folder_lock import locked
from vrtspike.engine.run_folder import (
    AUTO,
    LATEST,
    checkpoints_in,
    claim_work_dir,
    has_checkpoints,
    newest_checkpoint,
    newest_whole_checkpoint,
    remove_leftovers,
)
from vrtspike.errors import CheckpointError, DamagedCheckpointError, FolderInUseError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def touch(folder, *names):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Path(folder, name).touch()
        os.utime(Path(folder, name), (i, i))


def config_of(**checkpoint):
    hooks = dict(checkpoint=dict(type='SafeCheckpointHook', **checkpoint))
    return Config(dict(default_hooks=hooks), cfg_text='#', filename='a.py')


def claim(requested=None, resume=None, config=None):
    with ExitStack() as stack:
        return claim_work_dir(config or config_of(), requested, resume, stack)


def names(paths):
    return [path.name for path in paths]


@pytest.mark.parametrize(
    ('checkpoint', 'files', 'expected'),
    [
        ({}, ['iter_9.pth', 'iter_10.pth', 'iter_x.pth', 'best_iter_11.pth'], ['iter_10.pth', 'iter_9.pth']),
        (dict(by_epoch=True), ['epoch_9.pth', 'epoch_10.pth'], ['epoch_10.pth', 'epoch_9.pth']),
        ({}, ['epoch_1.pth', 'epoch_2.pth'], ['epoch_2.pth', 'epoch_1.pth']),
        (dict(filename_tmpl='net-{:06d}.pt'), ['net-000009.pt', 'net-000010.pt'], ['net-000010.pt', 'net-000009.pt']),
        ({}, ['epoch_7.pth', 'iter_3.pth'], ['iter_3.pth', 'epoch_7.pth']),  # the newer series of names first
    ],
)
def test_the_newest_checkpoint_comes_first(checkpoint, files, expected):
    touch('run', *files)
    assert names(checkpoints_in(Path('run'), config_of(**checkpoint))) == expected
    assert newest_checkpoint(Path('run'), config_of(**checkpoint)) == Path('run', expected[0])


def test_no_folder_has_no_checkpoints():
    assert newest_checkpoint(Path('nowhere')) is None
    assert newest_whole_checkpoint(Path('nowhere')) is None


def test_checkpoints_in_a_folder_apart_are_found_and_not_overwritten():
    config = config_of(out_dir='apart')
    touch('apart/run', 'iter_4.pth')
    assert checkpoints_in(Path('run'), config) == [Path('apart/run/iter_4.pth')]
    with pytest.raises(CheckpointError, match='run has checkpoints of an earlier run'):
        claim('run', config=config)


def test_a_checkpoint_of_an_unknown_name_is_found_by_the_file_that_names_it():
    touch('run', 'net_5.pt')
    Path('run/last_checkpoint').write_text('/where/the/run/was/net_5.pt')
    assert checkpoints_in(Path('run')) == [Path('run/net_5.pt')]
    touch('elsewhere', 'net_6.pt')
    Path('run/last_checkpoint').write_text('elsewhere/net_6.pt')
    assert checkpoints_in(Path('run')) == [Path('elsewhere/net_6.pt')]
    touch('run', 'iter_1.pth')  # in the run's own folder by a known name: the file may be of another time
    assert checkpoints_in(Path('run')) == [Path('run/iter_1.pth')]


@pytest.mark.parametrize(
    ('resume', 'folder'),
    [
        (None, 'work_dirs/a_3'),
        (AUTO, 'work_dirs/a_2'),
        (LATEST, 'work_dirs/a_2'),
        ('elsewhere/iter_4.pth', 'elsewhere'),
        ('work_dirs/a', 'work_dirs/a'),
    ],
)
def test_a_new_run_gets_a_new_folder_and_a_resumed_one_its_own(resume, folder):
    touch('work_dirs/a', 'iter_2.pth')
    touch('work_dirs/a_2', 'epoch_2.pth')
    assert claim(resume=resume) == Path(folder)


def test_a_folder_without_checkpoints_is_used_again():
    touch('work_dirs/a', 'report.json')
    assert claim() == Path('work_dirs/a')


@pytest.mark.parametrize('name', ['iter_2.pth', 'epoch_2.pth', 'best_psnr_iter_2.pth'])
def test_a_folder_with_checkpoints_is_taken_only_to_resume(name):
    touch('mine', name)
    assert has_checkpoints(Path('mine'))
    assert claim('mine', LATEST) == Path('mine')
    with pytest.raises(CheckpointError, match='mine has checkpoints of an earlier run: continue with --resume'):
        claim('mine')


def test_a_folder_in_use_is_refused_and_a_new_run_without_a_name_takes_the_next(monkeypatch):
    def refuse_folders_in_use(folder):
        if folder in (Path('work_dirs/a'), Path('mine')):
            raise FolderInUseError(f'{folder} is in use')
        return locked(folder)

    monkeypatch.setattr(run_folder, 'locked', refuse_folders_in_use)
    assert claim() == Path('work_dirs/a_2')
    with pytest.raises(FolderInUseError, match='mine is in use'):
        claim('mine')


def checkpoint(path, **content):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': {'weight': torch.zeros(1)}, **content}, path)
    return path


def test_the_newest_whole_checkpoint_is_the_one_to_resume():
    for i in (1, 2, 3):
        checkpoint(f'run/iter_{i}.pth', number=i)
    Path('run/iter_3.pth').write_bytes(Path('run/iter_3.pth').read_bytes()[:-40])
    Path('run/iter_2.pth').write_bytes(b'')
    path, contents = newest_whole_checkpoint(Path('run'))
    assert (path, contents['number']) == (Path('run/iter_1.pth'), 1)
    Path('run/iter_1.pth').write_bytes(b'')
    with pytest.raises(DamagedCheckpointError, match=r'iter_1\.pth \(0 bytes\) is cut off'):
        newest_whole_checkpoint(Path('run'))


class MakesAFolder:
    """Unpickling this runs code."""

    def __reduce__(self):
        return os.mkdir, ('run/proof',)


def test_code_in_the_newest_checkpoint_is_refused_and_neither_run_nor_passed_over():
    checkpoint('run/iter_1.pth')
    checkpoint('run/iter_2.pth', code=MakesAFolder())
    with pytest.raises(CheckpointError, match='--trust-checkpoint'):
        newest_whole_checkpoint(Path('run'))
    assert not Path('run/proof').exists()
    assert newest_whole_checkpoint(Path('run'), trust=True)[0] == Path('run/iter_2.pth')
    assert Path('run/proof').exists()


def test_only_half_written_files_are_removed():
    touch('run', 'iter_2.pth', '.iter_4.123.partial.pth', '.report.9.partial.json')
    touch('apart/run', '.iter_4.123.partial.pth')
    remove_leftovers(Path('run'), config_of(out_dir='apart'))
    assert names(Path('run').iterdir()) == ['iter_2.pth']
    assert not list(Path('apart/run').iterdir())
