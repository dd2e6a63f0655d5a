"""Pictures and tables."""

from vrtspike.visualization.clips import clip_strip
from vrtspike.visualization.tables import table_text

__all__ = ['clip_strip', 'table_text']
