"""Files on disk or in an LMDB, by one kind of path: ``train_GT.lmdb/GOPR0372_07_00/000047.png`` is an image in an LMDB.

The scripts of KAIR and BasicSR write such LMDBs: a folder with the database and ``meta_info.txt``, which has a line
``<name>.png (<height>,<width>,<channels>) <compression>`` for each image. The image's key is its name without suffix.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

from vrtspike.errors import DataError

LMDB_SUFFIX = '.lmdb'
META_INFO = 'meta_info.txt'


class Place(NamedTuple):
    """A file or folder within an LMDB: ``name`` is the path below the folder ``database``, ``''`` for all of it."""

    database: Path
    name: str


def place_in_lmdb(path: Path) -> Place | None:
    """Return where a path is in an LMDB; None for a path on disk."""
    for number, part in enumerate(path.parts):
        if part.endswith(LMDB_SUFFIX):
            return Place(Path(*path.parts[: number + 1]), '/'.join(path.parts[number + 1 :]))
    return None


def is_folder(path: Path) -> bool:
    """Return whether a folder exists, on disk or as the beginning of names in an LMDB."""
    place = place_in_lmdb(path)
    return path.is_dir() if place is None else place.database.is_dir() and place.name in folders_of(place.database)


def is_file(path: Path) -> bool:
    """Return whether a file exists, on disk or in an LMDB."""
    place = place_in_lmdb(path)
    if place is None:
        return path.is_file()
    folder, _, name = place.name.rpartition('/')
    return place.database.is_dir() and name in folders_of(place.database).get(folder, ())


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder; of one on disk also those of its folders."""
    place = place_in_lmdb(folder)
    return os.listdir(folder) if place is None else list(folders_of(place.database).get(place.name, ()))


def read_file(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        OSError: A file on disk cannot be read.
        DataError: An LMDB is damaged or has no such key, or the package ``lmdb`` is missing.
    """
    place = place_in_lmdb(path)
    if place is None:
        return path.read_bytes()
    key = os.path.splitext(place.name)[0]
    try:
        with environment(place.database, os.getpid()).begin(buffers=False) as transaction:
            value = transaction.get(key.encode())
    except DataError:
        raise
    except Exception as error:  # lmdb's errors have a class for each code
        raise DataError(f'{place.database} cannot be read as an LMDB ({error}): write it again') from error
    if value is None:
        raise DataError(f"{place.database} has no key '{key}', which its {META_INFO} names: write it again")
    return value


# An open LMDB must not be used in a process that was forked from the one that opened it.
@functools.lru_cache(maxsize=16)
def environment(database: Path, process: int) -> Any:
    """Open an LMDB for reading in this process."""
    try:
        import lmdb
    except ImportError as error:
        raise DataError(f'{database} is an LMDB, which needs the package lmdb: pip install lmdb') from error
    return lmdb.open(str(database), readonly=True, lock=False, readahead=False, meminit=False)


def folders_of(database: Path) -> dict[str, frozenset[str]]:
    """Return the files of an LMDB by the folder in their names, from its ``meta_info.txt``."""
    path = database / META_INFO
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f'{path} cannot be read ({error.strerror}): expected what the scripts of KAIR and BasicSR write'
        ) from error
    return read_meta_info(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=16)
def read_meta_info(path: Path, changed: int, length: int) -> dict[str, frozenset[str]]:
    """Return the names in a ``meta_info.txt`` of ``length`` bytes by folder; ``changed`` is the time of its change."""
    folders: dict[str, set[str]] = {}
    for number, line in enumerate(path.read_text(encoding='utf-8', errors='replace').splitlines(), 1):
        name, _, size = line.partition(' (')
        folder, _, file = name.rpartition('/')
        if not line.strip():
            continue
        if not size or not os.path.splitext(file)[1]:
            raise DataError(f"{path}, line {number} is '{line[:80]}', expected '<name>.png (720,1280,3) 1'")
        folders.setdefault(folder, set()).add(file)
    return {folder: frozenset(files) for folder, files in folders.items()}
