"""Rows in another order, added to the map that they belong to: ``functional.py`` has the operator."""

from vrtspike.ops.add_scattered.backends import ADD_SCATTERED
from vrtspike.ops.add_scattered.functional import add_scattered

__all__ = ['ADD_SCATTERED', 'add_scattered']
