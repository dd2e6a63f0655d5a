"""What the readers of logs with one record per line, or a few lines per record, have in common."""

from __future__ import annotations

from vrtspike.analysis.logs import RunLog, RunRecords, Source, Start
from vrtspike.analysis.statistics.samples import RowBuffer

NUMBER = r'[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf)'
"""A number as Python prints it."""


class LineReader:
    """Takes lines one by one and adds their records to a log at the end of the file.

    Args:
        source: The file.
        log: The log.
    """

    kind: str
    """The format, of FORMATS."""

    def __init__(self, source: Source, log: RunLog) -> None:
        self.source, self.log = source, log
        self.begin()

    def begin(self) -> None:
        """Begin the records of a start."""
        self.records = RunRecords(self.kind, starts=[Start(self.source.path)])
        self.rows = RowBuffer(self.records.table)
        self.forget()

    def forget(self) -> None:
        """Forget what was read of a record that has no end yet. Formats with records of several lines have such."""

    @property
    def start(self) -> Start:
        """Return the start that the next record belongs to."""
        return self.records.starts[0]

    def close(self) -> None:
        """Add the records to the log."""
        self.rows.flush()
        self.log.add(self.records)
