"""Pictures and tables."""

from vrtspike.reporting.clips import clip_strip
from vrtspike.reporting.tables import table_text

__all__ = ['clip_strip', 'table_text']
