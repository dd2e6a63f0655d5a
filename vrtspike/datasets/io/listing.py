"""Finds the frames or spike files in a folder and their order in time. All commands use these functions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from vrtspike.datasets.io.stored import is_folder, names_in
from vrtspike.errors import DataError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
#: Folders that macOS and network drives add to a data set.
HIDDEN_FOLDERS = ('__MACOSX', '@eaDir')


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is not part of a data set, such as ``.DS_Store``."""
    return name.startswith('.') or name in HIDDEN_FOLDERS


def visible_names(folder: Path) -> list[str]:
    """Return the names in ``folder`` that are not hidden."""
    return [name for name in names_in(folder) if not is_hidden(name)]


def stems_in(folder: Path, suffix: str) -> set[str]:
    """Return the stems of the visible files with ``suffix`` in ``folder``."""
    return {name[: -len(suffix)] for name in visible_names(folder) if name.endswith(suffix)}


def common_suffix(folder: Path, suffixes: Iterable[str]) -> str | None:
    """Return which of ``suffixes`` the files in ``folder`` have, spelled as there (``'.JPG'``); None if none has one.

    Raises:
        DataError: The files have several of the suffixes: is ``0001.png`` or ``0001.jpg`` the frame?
    """
    names = visible_names(folder) if is_folder(folder) else []
    found = {suffix for name in names if (suffix := os.path.splitext(name)[1]).lower() in suffixes}
    if len(found) > 1:
        raise DataError(
            f'{folder} has files with the suffixes {", ".join(sorted(found))}: expected one; move the others elsewhere'
        )
    return found.pop() if found else None


def time_order(names: Iterable[str]) -> list[str]:
    """Return names without suffix in the order of the numbers in them: 2 before 10, frame_9 before frame_10.

    Raises:
        DataError: Two names differ only in leading zeros.
    """
    keyed = sorted((number_key(name), name) for name in set(names))
    for (one, first), (other, second) in pairwise(keyed):
        if one == other:
            raise DataError(
                f"the names '{first}' and '{second}' have the same number, so their order in time is unknown: "
                'expected one name per frame, equal in all folders'
            )
    return [name for _, name in keyed]


def number_key(name: str) -> list[str | int]:
    """Split a name into alternating texts and integers."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r'([0-9]+)', name))]


def files_in_time_order(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the visible files in ``folder`` with one of ``suffixes``, in time order.

    Raises:
        DataError: There are none, or they have several suffixes, or their order is unknown.
    """
    suffix = common_suffix(folder, suffixes)
    if suffix is None:
        raise DataError(f'{folder} has no files with one of the suffixes {", ".join(suffixes)}: give another folder')
    return [folder / f'{stem}{suffix}' for stem in time_order(stems_in(folder, suffix))]
