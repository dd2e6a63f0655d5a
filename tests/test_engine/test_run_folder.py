"""Which folder a run gets, and which checkpoints are in it; contents of checkpoints are tested with resuming."""

from pathlib import Path

import pytest

from vrtspike.engine.run_folder import checkpoints_in, choose_work_dir, newest_checkpoint, remove_leftovers
from vrtspike.errors import CheckpointError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def saved(folder, *names):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        Path(folder, name).touch()


def test_checkpoints_are_ordered_by_number():
    saved('run', 'iter_9.pth', 'iter_10.pth', 'iter_x.pth', 'best_iter_11.pth', 'last_checkpoint')
    assert [path.name for path in checkpoints_in(Path('run'))] == ['iter_10.pth', 'iter_9.pth']
    assert newest_checkpoint(Path('missing')) is None


@pytest.mark.parametrize(
    ('resume', 'folder'),
    [
        (None, 'work_dirs/a_3'),
        ('auto', 'work_dirs/a_2'),
        ('latest', 'work_dirs/a_2'),
        ('elsewhere/iter_4.pth', 'elsewhere'),
    ],
)
def test_a_new_run_gets_a_new_folder_and_a_resumed_one_its_own(resume, folder):
    saved('work_dirs/a', 'iter_2.pth')
    saved('work_dirs/a_2', 'iter_2.pth')
    assert choose_work_dir('configs/a.py', None, resume) == Path(folder)


def test_a_folder_with_checkpoints_is_taken_only_to_resume():
    saved('mine', 'iter_2.pth')
    assert choose_work_dir('configs/a.py', 'mine', 'latest') == Path('mine')
    with pytest.raises(CheckpointError, match='mine holds checkpoints of an earlier run'):
        choose_work_dir('configs/a.py', 'mine', None)


def test_only_half_written_files_are_removed():
    saved('run', 'iter_2.pth', '.iter_4.pth.partial.123')
    remove_leftovers(Path('run'))
    assert [path.name for path in Path('run').iterdir()] == ['iter_2.pth']
