"""Finds the files of a LOG, which is a file, the folder of a run, or a pattern."""

from __future__ import annotations

import glob
from pathlib import Path

from vrtspike.analysis.readers import memory, mmengine_json, text
from vrtspike.analysis.readers.foreign import HEAD_BYTES, hint_about
from vrtspike.analysis.readers.mmengine_json import decode
from vrtspike.errors import LogError, did_you_mean
from vrtspike.records.reader import read_line

TEXT = 'text'
EXPECTED = (
    "expected our stage_costs.jsonl, MMEngine's scalars.json, a text log of KAIR or BasicSR, a timing file, print log "
    'or training log of the older code, or the folder of a run'
)


def find_logs(log: str) -> list[Path]:
    """Return the files of a LOG.

    Raises:
        LogError: It does not exist, or the folder contains no log.
    """
    path = Path(log)
    if path.is_dir():
        return logs_of_run(path)
    if path.exists():
        return [path]
    matches = sorted(glob.glob(log, recursive=True)) if glob.has_magic(log) else []
    if matches:
        return [found for match in matches for found in find_logs(match)]
    if glob.has_magic(log):
        raise LogError(f"no file matches the pattern '{log}'")
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, siblings) if siblings else ''
    raise LogError(f"there is no log '{log}'{hint if 'did you mean' in hint else ''}")


def logs_of_run(folder: Path) -> list[Path]:
    """Return the logs in a run's folder: ours and MMEngine's, or if there are none, all files that can be read."""
    logs = _recorded(folder)
    files = [path for pattern in ('*.jsonl', '*.json', '*.log', '*.txt') for path in sorted(folder.glob(pattern))]
    logs = logs or [path for path in files if kind_of(path) is not None]
    if logs:
        return logs
    runs = [each.name for each in sorted(folder.iterdir()) if each.is_dir() and _recorded(each)]
    if runs:
        raise LogError(f"'{folder}' is no run but holds {len(runs)}: give one of them ({', '.join(runs[:10])})")
    known = [
        f'; {path.name}: {hint}' for path in sorted(folder.iterdir()) if path.is_file() and (hint := hint_about(path))
    ]
    raise LogError(f"'{folder}' holds no log that can be read: {EXPECTED}{''.join(known[:5])}")


def _recorded(folder: Path) -> list[Path]:
    """Return our records and MMEngine's in a run's folder, the starts in the order of their time stamps."""
    logs = [*sorted(folder.glob('stage_costs*.jsonl')), *sorted(folder.glob('memory*.jsonl'))]
    for vis_data in sorted({folder / 'vis_data', *folder.glob('*/vis_data')}):
        logs += sorted(vis_data.glob('*.json'))
    return logs


def kind_of(path: Path) -> str | None:
    """Return 'vrtspike', 'memory', 'mmengine' or 'text' by a file's first lines, None for anything else."""
    with open(path, 'rb') as file:
        head = file.read(HEAD_BYTES)
    kinds = [kind for line in head.splitlines() if (kind := _kind_of_line(line))]
    for kind in ('vrtspike', memory.FORMAT, 'mmengine'):
        if kind in kinds:
            return kind
    with open(path, 'rb') as file:
        return TEXT if text.has_records(iter(lambda: read_line(file), b'')) else None


def _kind_of_line(line: bytes) -> str | None:
    if not line.lstrip().startswith(b'{'):
        return None
    if memory.LINE_START.match(line):  # too long to be decoded here
        return memory.FORMAT
    try:
        record = decode(line)
    except ValueError:
        return None
    if isinstance(record, dict) and record.get('kind') in ('run', 'sample'):
        return 'vrtspike'
    return 'mmengine' if mmengine_json.is_record(record) else None
