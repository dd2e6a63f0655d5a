"""Window attention: ``functional.py`` has the operator, ``backends.py`` chooses what computes it."""

from vrtspike.ops.window_attention.backends import WINDOW_ATTENTION, WindowBackend
from vrtspike.ops.window_attention.functional import Windows, map_windows, window_attention

__all__ = ['WINDOW_ATTENTION', 'WindowBackend', 'Windows', 'map_windows', 'window_attention']
