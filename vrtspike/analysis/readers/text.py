"""Reads text logs, which may mix several formats with other lines."""

from __future__ import annotations

from collections.abc import Iterable

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.readers.basicsr import BasicSRReader
from vrtspike.analysis.readers.legacy_print import PrintReader
from vrtspike.analysis.readers.legacy_timing import TimingReader
from vrtspike.analysis.readers.legacy_train import TrainReader

READERS = {reader.kind: reader for reader in (TimingReader, PrintReader, TrainReader, BasicSRReader)}


def read(lines: Iterable[bytes], source: Source, log: RunLog) -> None:
    """Add ``lines`` to the log. Each line goes to the format that recognises it; other lines are skipped."""
    readers = {name: reader(source, log) for name, reader in READERS.items()}
    found = set()
    for line in lines:
        source.lines += 1
        text = line.decode('utf-8', errors='replace').rstrip()
        taken = next((name for name, reader in readers.items() if text and reader.feed(text)), None)
        if taken:
            found.add(taken)
    source.formats = [name for name in READERS if name in found]
    for name in source.formats:
        readers[name].close()


def has_records(lines: Iterable[bytes]) -> bool:
    """Whether any line is of one of these formats."""
    readers = [reader(Source(''), RunLog('')) for reader in READERS.values()]
    texts = (line.decode('utf-8', errors='replace').rstrip() for line in lines)
    return any(reader.feed(text) for text in texts for reader in readers)
