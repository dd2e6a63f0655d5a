"""Reads text logs, which may mix all formats of the code before this one with anything else."""

from __future__ import annotations

from collections.abc import Iterable

from vrtspike.analysis.logs import RunLog, Source
from vrtspike.analysis.readers import legacy_print, legacy_timing, legacy_train

READERS = {
    legacy_timing.FORMAT: legacy_timing.TimingReader,
    legacy_print.FORMAT: legacy_print.PrintReader,
    legacy_train.FORMAT: legacy_train.TrainReader,
}


def read(lines: Iterable[bytes], source: Source, log: RunLog) -> None:
    """Add what ``lines`` hold to the log, each line to the format that knows it; others are passed over."""
    readers = {name: reader(source, log) for name, reader in READERS.items()}
    found = set()
    for line in lines:
        source.lines += 1
        text = line.decode('utf-8', errors='replace').rstrip()
        taken = next((name for name, reader in readers.items() if text and reader.feed(text)), None)
        if taken:
            found.add(taken)
    for reader in readers.values():
        reader.close()
    source.formats = [name for name in READERS if name in found]
