"""Which files of a folder are frames or spikes, and their order in time: one answer for all commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from vrtspike.errors import DataError

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
#: What macOS and network drives put beside the files of a data set.
HIDDEN_FOLDERS = ('__MACOSX', '@eaDir')


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is not part of a data set, such as ``.DS_Store``."""
    return name.startswith('.') or name in HIDDEN_FOLDERS


def visible_names(folder: Path) -> list[str]:
    """Return the names in ``folder`` that are not hidden."""
    return [name for name in os.listdir(folder) if not is_hidden(name)]


def stems_in(folder: Path, suffix: str) -> set[str]:
    """Return the stems of the visible files with ``suffix`` in ``folder``."""
    return {name[: -len(suffix)] for name in visible_names(folder) if name.endswith(suffix)}


def common_suffix(folder: Path, suffixes: Iterable[str]) -> str | None:
    """Return the one of ``suffixes`` that files in ``folder`` have, in their spelling, as ``'.JPG'``; None without any.

    Raises:
        DataError: Files have several of them: which of ``0001.png`` and ``0001.jpg`` is the frame is unknown.
    """
    names = visible_names(folder) if folder.is_dir() else []
    found = {suffix for name in names if (suffix := os.path.splitext(name)[1]).lower() in suffixes}
    if len(found) > 1:
        raise DataError(
            f'{folder} holds files with the suffixes {", ".join(sorted(found))}: expected one; move the others away'
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
    """Return a name as texts and whole numbers, alternating."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r'([0-9]+)', name))]


def files_in_time_order(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the visible files in ``folder`` with one of ``suffixes``.

    Raises:
        DataError: There are none, or they have several suffixes, or their order is unknown.
    """
    suffix = common_suffix(folder, suffixes)
    if suffix is None:
        raise DataError(f'{folder} holds no files with one of the suffixes {", ".join(suffixes)}: name their folder')
    return [folder / f'{stem}{suffix}' for stem in time_order(stems_in(folder, suffix))]
