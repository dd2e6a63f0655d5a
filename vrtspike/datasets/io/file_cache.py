"""A cache on a fast disk for files of a slow one. All processes of a machine share its size limit."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from vrtspike.errors import ConfigError, require_positive

GIB = 2**30
# Only copies that were not read for this long are deleted to make room. Replacing copies in use would only cost time,
# because in a shuffled epoch every file is equally likely to be next.
UNUSED_AFTER_S = 6 * 3600
# Minimum time between two searches of a full cache for unused copies.
RECOUNT_EVERY_S = 60


class FileCache:
    """A folder with copies of files; :meth:`local` returns the path of the copy, or the original path.

    Files are copied unchanged: a spike stays one bit. Any number of processes may share the folder and its limit. The
    folder remains when they end; delete it to free its space.

    Args:
        folder: Folder of the copies, on a fast local disk or in ``/dev/shm``.
        limit_gib: Maximum size of the folder in GiB.

    Raises:
        ConfigError: The limit is not positive, or this system cannot lock files.
    """

    def __init__(self, folder: str | os.PathLike, limit_gib: float) -> None:
        require_positive('FileCache', limit_gib=limit_gib)
        self.folder = Path(folder)
        self.limit = int(limit_gib * GIB)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.ledger():  # if this system cannot lock files, fail here and not in a worker
            pass

    def local(self, path: Path) -> Path:
        """Return the path of the copy of ``path``, or ``path`` if it cannot be cached."""
        try:
            status = os.stat(path)
        except OSError:
            return path  # the reader reports the missing file
        entry = self.folder / entry_name(path, status)
        with contextlib.suppress(OSError):
            os.utime(entry)  # marks the copy as in use; fails if there is none
            return entry
        with contextlib.suppress(OSError):  # such as a full disk; the original can still be read
            return self.keep(path, entry, status.st_size) or path
        return path

    def keep(self, path: Path, entry: Path, size: int) -> Path | None:
        """Copy ``path`` to ``entry``; return None if it does not fit or another process is copying it."""
        partial = entry.with_suffix('.partial')
        with self.ledger() as ledger:
            if entry.is_file():  # another process has just finished it
                return entry
            if not self.claim(ledger, partial, size):
                return None
        try:
            shutil.copyfile(path, partial)
            whole = partial.stat().st_size == size
        except OSError:
            whole = False
        with self.ledger() as ledger:  # a recount must see exactly one of the two names
            if whole:
                os.replace(partial, entry)
                return entry
            partial.unlink(missing_ok=True)
            ledger['bytes'] -= size
        return None

    def claim(self, ledger: dict, partial: Path, size: int) -> bool:
        """Reserve space by creating a file of the full size, which recounts include; return whether that worked."""
        if ledger['bytes'] + size > self.limit and time.time() - ledger['recounted'] > RECOUNT_EVERY_S:
            ledger.update(bytes=self.recount(), recounted=time.time())
        if ledger['bytes'] + size > self.limit:
            return False
        try:
            with open(partial, 'xb') as file:
                file.truncate(size)
        except FileExistsError:
            return False
        ledger['bytes'] += size
        return True

    def recount(self) -> int:
        """Delete unused entries and unfinished copies; return the bytes that remain."""
        left, oldest = 0, time.time() - UNUSED_AFTER_S
        with os.scandir(self.folder) as entries:
            for entry in entries:
                status = entry.stat()
                if entry.name.startswith('ledger'):
                    continue
                if status.st_mtime < oldest:
                    os.unlink(entry)
                else:
                    left += status.st_size
        return left

    @contextlib.contextmanager
    def ledger(self) -> Iterator[dict]:
        """Lock the folder and yield the record of its size; save the record when the block ends."""
        try:
            import fcntl
        except ImportError as error:
            raise ConfigError('a file cache needs a system with fcntl; leave cache_dir out') from error
        with open(self.folder / 'ledger.lock', 'a') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / 'ledger.json'
            try:
                ledger = json.loads(path.read_text())
            except (OSError, ValueError):  # absent, or cut off by a killed process
                ledger = {'bytes': self.recount(), 'recounted': time.time()}
            yield ledger
            path.write_text(json.dumps(ledger))


def entry_name(path: Path, status: os.stat_result) -> str:
    """Return the name of a copy; it changes when the file changes."""
    identity = f'{os.path.abspath(path)}|{status.st_size}|{status.st_mtime_ns}'
    return hashlib.sha256(identity.encode()).hexdigest()[:40] + path.suffix
