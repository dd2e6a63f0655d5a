"""Chooses the folder of a run and finds the checkpoints in it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mmengine.logging import print_log

from vrtspike.errors import CheckpointError, DamagedCheckpointError
from vrtspike.runtime.checkpoint_files import load_checkpoint_file

LATEST = 'latest'
"""Value of ``resume``: the newest checkpoint of the run."""
AUTO = 'auto'
"""Value of ``resume``: the newest checkpoint of the run, or none if there is none yet."""


def choose_work_dir(config_file: str, requested: str | None, resume: str | None) -> Path:
    """Return the folder of a run. Checkpoints of another run are never overwritten.

    Args:
        config_file: Path of the config; its name becomes the name of the folder.
        requested: Folder that the user asked for, or None.
        resume: A checkpoint, :data:`LATEST`, :data:`AUTO` or None.

    Raises:
        CheckpointError: The requested folder has checkpoints, and the run does not resume.
    """
    if requested:
        if not resume and has_checkpoints(Path(requested)):
            raise CheckpointError(
                f'{requested} holds checkpoints of an earlier run: continue with --resume, or give another --work-dir'
            )
        return Path(requested)
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
    """Return the checkpoint with the most iterations in ``folder``, damaged or not, or None if there is none."""
    return next(iter(checkpoints_in(folder)), None)


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in ``folder``, newest first.

    MMEngine reads the name of the last one from a file, and silently starts from scratch if that file is missing.
    """
    paths = folder.iterdir() if folder.is_dir() else ()
    numbered = {int(match.group(1)): path for path in paths if (match := re.fullmatch(r'iter_(\d+)\.pth', path.name))}
    return [numbered[iteration] for iteration in sorted(numbered, reverse=True)]


def newest_whole_checkpoint(folder: Path, trust: bool = False) -> Path | None:
    """Return the newest checkpoint in ``folder`` that is not damaged, or None if there are no checkpoints.

    Raises:
        DamagedCheckpointError: Every checkpoint is damaged.
        CheckpointError: The newest undamaged one needs code, and ``trust`` is not set.
    """
    damaged = None
    for path in checkpoints_in(folder):
        try:
            load_checkpoint_file(path, trust=trust)
        except DamagedCheckpointError as error:
            print_log(f'Skipped: {error}', 'current', level=logging.WARNING)
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
