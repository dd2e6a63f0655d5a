"""Reads files into one log. Large logs of our own are read in chunks by several processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.readers import memory, mmengine_json, stage_costs, text
from vrtspike.analysis.readers.files import EXPECTED, TEXT, find_logs, kind_of
from vrtspike.analysis.readers.foreign import hint_about
from vrtspike.errors import LogError
from vrtspike.records.reader import read_line
from vrtspike.runtime.device import usable_cores

CHUNK_BYTES = 1 << 27
"""Size of the chunks in which our own logs are read. Several chunks are read by several processes."""

SHOW_PROGRESS_FROM = 1 << 25

Advance = Callable[[int], None]


def read_logs(logs: Sequence[str | Path], name: str | None = None) -> RunLog:
    """Read all ``logs`` as the log of one run.

    Large logs are read by spawned processes, so a script that calls this at its top level needs the usual
    ``if __name__ == '__main__'``.

    Args:
        logs: Files, folders of runs, and patterns.
        name: Name of the run; by default the first of ``logs``.

    Raises:
        LogError: A log does not exist, or no record can be read in any of them.
    """
    paths = _without_copies(path.resolve() for log in logs for path in find_logs(str(log)))
    log = RunLog(name or str(logs[0]))
    with _progress(sum(path.stat().st_size for path in paths)) as advance:
        for path in paths:
            try:
                _read(path, log, advance)
            except LogError as error:
                raise LogError(f'{path}: {error}') from error
    log.seal()
    if not any(source.records for source in log.sources):
        raise LogError(_nothing_to_read(log, paths))
    return log


def _without_copies(paths: Iterable[Path]) -> list[Path]:
    """Return paths once each; MMEngine writes the same lines to scalars.json and to <timestamp>.json."""
    unique = list(dict.fromkeys(paths))
    scalars = {path.parent for path in unique if path.name == 'scalars.json'}
    return [
        path for path in unique if path.name == 'scalars.json' or path.suffix != '.json' or path.parent not in scalars
    ]


def _read(path: Path, log: RunLog, advance: Advance) -> None:
    source = Source(_shown(path))
    log.sources.append(source)
    kind = kind_of(path)
    if kind == TEXT:
        text.read(_lines(path, advance), source, log)
    elif kind is not None:
        source.formats = [kind]
        if kind == mmengine_json.FORMAT:
            mmengine_json.read(_lines(path, advance), source, log)
        elif kind == memory.FORMAT:
            memory.read(_lines(path, advance), source, log)
        else:
            _read_stage_costs(path, source, log, advance)


def _read_stage_costs(path: Path, source: Source, log: RunLog, advance: Advance) -> None:
    size = path.stat().st_size
    chunks = [(str(path), start, min(start + CHUNK_BYTES, size)) for start in range(0, size, CHUNK_BYTES)]
    if len(chunks) == 1:
        stage_costs.add(stage_costs.read_lines(_lines(path, advance)), source, log)
        return
    workers = min(len(chunks), usable_cores())
    with ProcessPoolExecutor(workers, mp_context=get_context('spawn')) as pool:
        waiting: deque[Future[stage_costs.Chunk]] = deque()
        for _, start, stop in [*chunks, *[(path, 0, 0)] * workers]:
            if stop:
                waiting.append(pool.submit(read_chunk, (str(path), start, stop)))
            if waiting and (len(waiting) > workers or not stop):  # results that wait for their turn need memory
                stage_costs.add(waiting.popleft().result(), source, log)
                advance(CHUNK_BYTES)


def read_chunk(chunk: tuple[str, int, int]) -> stage_costs.Chunk:
    """Return the records in the lines that begin in the bytes [start, stop) of a file of stage costs."""
    path, start, stop = chunk
    return stage_costs.read_lines(lines_beginning_in(path, start, stop))


def lines_beginning_in(path: str | Path, start: int, stop: int) -> Iterator[bytes]:
    """Yield the lines of a file that begin in the bytes [start, stop): every line begins in exactly one range."""
    with open(path, 'rb', buffering=1 << 20) as file:
        if start:
            file.seek(start - 1)
            read_line(file)
        while file.tell() < stop and (line := read_line(file)):
            yield line


def _lines(path: Path, advance: Advance) -> Iterator[bytes]:
    with open(path, 'rb', buffering=1 << 20) as file:
        unreported = 0
        while line := read_line(file):
            unreported += len(line)
            if unreported > 1 << 20:
                advance(unreported)
                unreported = 0
            yield line
    advance(unreported)


@contextmanager
def _progress(size: int) -> Iterator[Advance]:
    """Show a progress bar if reading takes a while and stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if size < SHOW_PROGRESS_FROM or not console.is_terminal:
        yield lambda done: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn('reading'), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task('reading', total=size)
        yield lambda done: bar.advance(task, done)


def _shown(path: Path) -> str:
    """Return a path for messages, relative to the working folder if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _nothing_to_read(log: RunLog, paths: list[Path]) -> str:
    """Return the message about files without any record, with what they are if that is known."""
    names = ', '.join(f"'{source.path}'" for source in log.sources[:5])
    if len(log.sources) > 5:
        names += f' and {len(log.sources) - 5} more'
    damaged = sum(source.damaged for source in log.sources)
    lines = f'; {damaged} damaged lines' if damaged else ''
    hints = dict.fromkeys(map(hint_about, paths[:5]))
    return f'{names}: no record can be read{lines}; {EXPECTED}{"".join(f". {hint}" for hint in hints if hint)}'
