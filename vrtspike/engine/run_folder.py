"""The folder of a run: which one a training takes, and the checkpoints in it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mmengine.logging import print_log

from vrtspike.errors import CheckpointError, DamagedCheckpointError
from vrtspike.runtime.checkpoint_files import load_checkpoint_file

LATEST = 'latest'
"""As a checkpoint to resume from: the run's newest."""
AUTO = 'auto'
"""As a checkpoint to resume from: the run's newest, or none where there is none yet."""


def choose_work_dir(config_file: str, asked: str | None, resume: str | None) -> Path:
    """Return the folder of a run: never one whose checkpoints would be written over."""
    if asked:
        if not resume and has_checkpoints(Path(asked)):
            raise CheckpointError(
                f'{asked} holds checkpoints of an earlier run: go on with --resume, or give another --work-dir'
            )
        return Path(asked)
    name = Path(config_file).stem
    folders = [Path('work_dirs', name), *(Path('work_dirs', f'{name}_{i}') for i in range(2, 1000))]
    used = [folder for folder in folders if has_checkpoints(folder)]
    if resume in (LATEST, AUTO) and used:
        return used[-1]
    if resume not in (None, LATEST, AUTO):
        return Path(resume).parent
    return next(folder for folder in folders if not has_checkpoints(folder))


def has_checkpoints(folder: Path) -> bool:
    """Return whether a run has saved checkpoints in ``folder``."""
    return newest_checkpoint(folder) is not None


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of the most iterations in ``folder``, whole or not, or None where there is none."""
    return next(iter(checkpoints_in(folder)), None)


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in ``folder``, that of the most iterations first.

    MMEngine trusts a file with the name of the last one, and starts over without a word where that is missing.
    """
    paths = folder.iterdir() if folder.is_dir() else ()
    numbered = {int(match.group(1)): path for path in paths if (match := re.fullmatch(r'iter_(\d+)\.pth', path.name))}
    return [numbered[iteration] for iteration in sorted(numbered, reverse=True)]


def newest_whole_checkpoint(folder: Path, trust: bool = False) -> Path | None:
    """Return the newest checkpoint in ``folder`` that is not damaged, or None where there is none at all.

    Raises:
        DamagedCheckpointError: Every checkpoint is damaged.
        CheckpointError: The newest one that is whole needs code without ``trust``.
    """
    damaged = None
    for path in checkpoints_in(folder):
        try:
            load_checkpoint_file(path, trust=trust)
        except DamagedCheckpointError as error:
            print_log(f'Passed over: {error}', 'current', level=logging.WARNING)
            damaged = error
        else:
            return path
    if damaged:
        raise damaged
    return None


def remove_leftovers(folder: Path) -> None:
    """Remove the half-written files that a killed run left in ``folder``."""
    for path in folder.glob('.*.partial.*'):
        path.unlink(missing_ok=True)
