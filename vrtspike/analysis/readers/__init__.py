"""Readers of logs, one per format; which one serves is told by content, never by a file's name."""

from vrtspike.analysis.readers.reading import read_logs

__all__ = ['read_logs']
