"""Chooses the folder of a run and finds the checkpoints in it."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from vrtspike.config.hooks import hooks_of
from vrtspike.engine.folder_lock import locked
from vrtspike.errors import CheckpointError, DamagedCheckpointError, FolderInUseError
from vrtspike.runtime.checkpoint_files import load_checkpoint_file

LATEST = 'latest'
"""Value of ``resume``: the newest checkpoint of the run."""
AUTO = 'auto'
"""Value of ``resume``: the newest checkpoint of the run, or none if there is none yet."""

TEMPLATES = ('iter_{}.pth', 'epoch_{}.pth')
"""Names of MMEngine's checkpoints."""
FOLDERS = 1000


def claim_work_dir(config: Config, requested: str | None, resume: str | None, stack: ExitStack) -> Path:
    """Return the folder of a run, and keep other trainings out of it until ``stack`` is closed.

    Checkpoints of another run are never overwritten. Without ``requested``, a new run takes the first folder of
    ``work_dirs/NAME``, ``work_dirs/NAME_2``, ... that has no checkpoints and is not in use.

    Args:
        config: Its file's name becomes the name of the folder.
        requested: Folder that the user asked for, or None.
        resume: A checkpoint, a folder of checkpoints, :data:`LATEST`, :data:`AUTO` or None.
        stack: Releases the locks when it is closed.

    Raises:
        CheckpointError: The requested folder has checkpoints, and the run does not resume.
        FolderInUseError: Another training is using the folder.
    """
    if requested and not resume and has_checkpoints(Path(requested), config):
        raise CheckpointError(
            f'{requested} has checkpoints of an earlier run: continue with --resume, or give another --work-dir'
        )
    *free, last = _possible_folders(config, requested, resume)
    for folder in free:
        try:
            return _claim(folder, config, stack)
        except FolderInUseError:
            continue
    return _claim(last, config, stack)


def _claim(folder: Path, config: Config, stack: ExitStack) -> Path:
    for place in checkpoint_folders(folder, config):
        stack.enter_context(locked(place))
    return folder


def _possible_folders(config: Config, requested: str | None, resume: str | None) -> list[Path]:
    if requested:
        return [Path(requested)]
    if resume not in (None, LATEST, AUTO):
        return [Path(resume) if Path(resume).is_dir() else Path(resume).parent]
    name = Path(config.filename).stem
    folders = [Path('work_dirs', name), *(Path('work_dirs', f'{name}_{i}') for i in range(2, FOLDERS))]
    used = [folder for folder in folders if has_checkpoints(folder, config)]
    if resume and used:
        return used[-1:]
    return [folder for folder in folders if folder not in used]


def has_checkpoints(folder: Path, config: Mapping[str, Any] | None = None) -> bool:
    """Return whether a run has saved checkpoints, the best ones included."""
    folders = checkpoint_folders(folder, config or {})
    return bool(checkpoints_in(folder, config)) or any(path for each in folders for path in each.glob('best_*.pth'))


def newest_checkpoint(folder: Path, config: Mapping[str, Any] | None = None) -> Path | None:
    """Return the checkpoint of a run with the most iterations, damaged or not, or None if there is none."""
    return next(iter(checkpoints_in(folder, config)), None)


def checkpoints_in(folder: Path, config: Mapping[str, Any] | None = None) -> list[Path]:
    """Return the checkpoints of a run that can be resumed, newest first.

    They are found by MMEngine's names and those of the config's checkpoint hook, in the run's folder and in the hook's
    ``out_dir``. If there are none, the file named in MMEngine's ``last_checkpoint`` is returned. That file alone is not
    enough: it may be missing, and MMEngine then starts from scratch.

    Args:
        folder: The run's folder.
        config: Its config; None finds only MMEngine's own names in this folder.
    """
    config = config or {}
    templates = dict.fromkeys([*(hook['filename_tmpl'] for hook in _naming_hooks(config)), *TEMPLATES])
    series = [_numbered(*pair) for pair in itertools.product(checkpoint_folders(folder, config), templates)]
    series = sorted(filter(None, series), key=lambda paths: paths[0].stat().st_mtime_ns, reverse=True)
    return list(dict.fromkeys(itertools.chain(*series))) or _last_checkpoint(folder)


def checkpoint_folders(folder: Path, config: Mapping[str, Any]) -> list[Path]:
    """Return the folders that a run writes: its own, and a separate one for checkpoints if the config has one."""
    apart = [hook['out_dir'] for hook in _checkpoint_hooks(config) if hook.get('out_dir')]
    return list(dict.fromkeys([folder, *(Path(place, folder.resolve().name) for place in apart)]))


def _checkpoint_hooks(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (hook for hook in hooks_of(config).values() if str(hook.get('type')).endswith('CheckpointHook'))


def _naming_hooks(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (hook for hook in _checkpoint_hooks(config) if hook.get('filename_tmpl'))


def _numbered(folder: Path, template: str) -> list[Path]:
    """Return the files in ``folder`` with names like ``template``, the highest number first."""
    before, _, after = re.sub(r'\{[^}]*\}', '\0', template).partition('\0')
    pattern = re.compile(f'{re.escape(before)}([0-9]+){re.escape(after)}')
    paths = folder.iterdir() if folder.is_dir() else ()
    numbered = [(int(match.group(1)), path) for path in paths if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(numbered, reverse=True)]


def _last_checkpoint(folder: Path) -> list[Path]:
    """Return the checkpoint that ``last_checkpoint`` names, if it exists, even if the run's folder was moved."""
    try:
        named = Path((folder / 'last_checkpoint').read_text(encoding='utf-8').strip())
    except (OSError, UnicodeDecodeError):
        return []
    return [path for path in (folder / named.name, named) if path.is_file()][:1]


def newest_whole_checkpoint(
    folder: Path, config: Mapping[str, Any] | None = None, trust: bool = False
) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest checkpoint of a run that is not damaged and its contents, or None if there are no checkpoints.

    Raises:
        DamagedCheckpointError: Every checkpoint is damaged.
        CheckpointError: The newest undamaged one needs code, and ``trust`` is not set.
    """
    damaged = None
    for path in checkpoints_in(folder, config):
        try:
            return path, load_checkpoint_file(path, trust=trust)
        except DamagedCheckpointError as error:
            print_log(f'Skipped: {error}', 'current', level=logging.WARNING)
            damaged = error
    if damaged:
        raise damaged
    return None


def remove_leftovers(folder: Path, config: Mapping[str, Any] | None = None) -> None:
    """Remove the half-written files that a killed run left in its folders."""
    for place in checkpoint_folders(folder, config or {}):
        for path in place.glob('.*.partial.*'):
            path.unlink(missing_ok=True)
