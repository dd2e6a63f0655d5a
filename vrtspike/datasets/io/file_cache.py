"""Copies of a slow disk's files on a fast one, as they are, with a limit that all processes of a machine share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from vrtspike.errors import ConfigError

GIB = 2**30
# Entries that nobody read for so long make room for others: those of the running data sets stay, since in a shuffled
# epoch every file is as likely to be next as any other, and evicting one for another would only copy more.
UNUSED_AFTER_S = 6 * 3600
# A full cache is not searched for unused entries at every miss.
RECOUNT_EVERY_S = 60


class FileCache:
    """A folder with copies of files; who asks for a path gets that of the copy, or the path itself.

    Files are kept as they lie on disk: a spike stays one bit. Any number of processes may use the folder at once; what
    they keep there is within ``limit_gib`` together. The folder outlives them: delete it to free its space.

    Args:
        folder: Where the copies lie, on this machine's own fast disk or in ``/dev/shm``.
        limit_gib: Most GiB that the folder may hold.

    Raises:
        ConfigError: The limit is not positive, or this system cannot lock files.
    """

    def __init__(self, folder: str | os.PathLike, limit_gib: float) -> None:
        if not limit_gib > 0:
            raise ConfigError(f'a file cache got limit_gib={limit_gib}, expected a positive number of GiB')
        self.folder = Path(folder)
        self.limit = int(limit_gib * GIB)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.ledger():  # fails here where locks do not work, not in a worker
            pass

    def local(self, path: Path) -> Path:
        """Return a path with the content of ``path``: its copy's, or ``path`` where none can be kept."""
        try:
            status = os.stat(path)
        except OSError:
            return path  # whoever reads it says that it is missing
        entry = self.folder / entry_name(path, status)
        with contextlib.suppress(OSError):
            os.utime(entry)  # which also tells that it is there, and that it is in use
            return entry
        return self.keep(path, entry, status.st_size) or path

    def keep(self, path: Path, entry: Path, size: int) -> Path | None:
        """Copy ``path`` to ``entry`` if it fits; None where it does not, or while another process copies it."""
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
        with self.ledger() as ledger:  # so that a recount sees the one name or the other
            if whole:
                os.replace(partial, entry)
                return entry
            partial.unlink(missing_ok=True)
            ledger['bytes'] -= size
        return None

    def claim(self, ledger: dict, partial: Path, size: int) -> bool:
        """Claim the space for one copy: the file is made at once in its full size, so that recounts see it."""
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
        """Delete what nobody uses any more, unfinished copies included; return the bytes that are left."""
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
        """Yield what is known of the folder's content, to be changed while no other process can."""
        try:
            import fcntl
        except ImportError as error:
            raise ConfigError('a file cache needs a system with fcntl; leave cache_dir out') from error
        with open(self.folder / 'ledger.lock', 'a') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / 'ledger.json'
            try:
                ledger = json.loads(path.read_text())
            except (OSError, ValueError):  # the first user, or one that was killed while writing
                ledger = {'bytes': self.recount(), 'recounted': time.time()}
            yield ledger
            path.write_text(json.dumps(ledger))


def entry_name(path: Path, status: os.stat_result) -> str:
    """Return the copy's name: another one as soon as the file changes."""
    identity = f'{os.path.abspath(path)}|{status.st_size}|{status.st_mtime_ns}'
    return hashlib.sha256(identity.encode()).hexdigest()[:40] + path.suffix
