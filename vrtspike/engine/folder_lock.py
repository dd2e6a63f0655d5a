"""Keeps two trainings out of one folder."""

from __future__ import annotations

import datetime
import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mmengine.logging import print_log

from vrtspike.errors import FolderInUseError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK_NAME = '.training.lock'


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run folder. The system releases the lock when the process ends, even if it is killed.

    It is a POSIX lock (``fcntl.lockf``): it works on network folders too, and data workers do not inherit it. If the
    file system has no locks, a warning says so.

    Raises:
        FolderInUseError: Another process has locked it.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    file = _acquire(path)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            file.close()
        if new:
            with suppress(OSError):  # fails if the training has written files
                folder.rmdir()


def _acquire(path: Path) -> IO[str]:
    while True:
        file = path.open('a+', encoding='utf-8')
        try:
            _lock(file)
        except BaseException:
            file.close()
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                break
        file.close()  # its owner has removed it in the meantime
    with suppress(OSError):  # the text is only information for users
        file.truncate(0)
        started = datetime.datetime.now().astimezone().isoformat(timespec='seconds')
        print(f'process {os.getpid()} on {socket.gethostname()} since {started}', file=file, flush=True)
    return file


def _lock(file: IO[str]) -> None:
    try:
        if fcntl is None:
            raise OSError(errno.ENOTSUP, 'this system has no fcntl')
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        folder = Path(file.name).parent
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.seek(0)
            owner = file.read().strip() or 'another process'
            raise FolderInUseError(
                f'{folder} is in use by another training ({owner}): wait until it ends, or give another --work-dir'
            ) from error
        print_log(
            f'{folder} cannot be locked ({error.strerror}): nothing prevents a second training from writing there.',
            'current',
            logging.WARNING,
        )
