"""Readers of logs, one per format. The content of a file decides which one reads it, never its name."""

from vrtspike.analysis.readers.reading import read_logs

__all__ = ['read_logs']
