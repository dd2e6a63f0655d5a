"""One training per folder: the lock is of the process, and the system frees it."""

import errno
import subprocess
import sys

import pytest

from vrtspike.engine import folder_lock
from vrtspike.engine.folder_lock import LOCK_NAME, locked
from vrtspike.errors import FolderInUseError

HOLD = """
import sys
from pathlib import Path
from vrtspike.engine.folder_lock import locked
with locked(Path(sys.argv[1])):
    print('locked', flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder until it ends."""
    command = [sys.executable, '-c', HOLD, str(tmp_path / 'run')]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'locked\n'
        yield process
        process.kill()


def test_a_second_training_is_refused_until_the_first_is_killed(tmp_path, holder):
    folder = tmp_path / 'run'
    message = rf'run is in use by another training \(process {holder.pid} on .* since .*another --work-dir'
    with pytest.raises(FolderInUseError, match=message), locked(folder):
        pass
    holder.kill()
    holder.wait()
    assert (folder / LOCK_NAME).exists()  # a file without an owner locks nothing
    with locked(folder):
        pass
    assert not (folder / LOCK_NAME).exists()


def test_nothing_is_left_of_a_training_that_wrote_nothing(tmp_path):
    with locked(tmp_path / 'run'):
        assert (tmp_path / 'run' / LOCK_NAME).read_text().startswith('process ')
    assert not (tmp_path / 'run').exists()


def test_the_folder_of_a_training_stays(tmp_path):
    with locked(tmp_path / 'run'):
        (tmp_path / 'run/report.json').touch()
    assert [path.name for path in (tmp_path / 'run').iterdir()] == ['report.json']


@pytest.mark.parametrize('error', [OSError(errno.ENOLCK, 'No locks available'), OSError(errno.ENOSYS, 'not there')])
def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, error):
    warnings = []

    def unsupported(*args):
        raise error

    monkeypatch.setattr(folder_lock.fcntl, 'lockf', unsupported)
    monkeypatch.setattr(folder_lock, 'print_log', lambda message, *args: warnings.append(message))
    with locked(tmp_path / 'run'):
        pass
    assert len(warnings) == 1
    assert f'cannot be locked ({error.strerror}): nothing prevents a second training' in warnings[0]


def test_a_lock_file_that_its_owner_has_just_removed_is_not_taken(tmp_path, monkeypatch):
    """Between opening the file and locking it, its owner may remove it: the lock of a file without a name is none."""
    folder, lock, attempts = tmp_path / 'run', folder_lock._lock, []

    def removed_before(file):
        attempts.append(file.name)
        if len(attempts) == 1:
            (folder / LOCK_NAME).unlink()
        lock(file)

    monkeypatch.setattr(folder_lock, '_lock', removed_before)
    with locked(folder):
        assert (folder / LOCK_NAME).exists()
    assert len(attempts) == 2
