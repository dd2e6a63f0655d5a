"""Linear layers: ``functional.py`` has the operator, ``backends.py`` its backends."""

from vrtspike.ops.linear.backends import LINEAR
from vrtspike.ops.linear.functional import linear

__all__ = ['LINEAR', 'linear']
