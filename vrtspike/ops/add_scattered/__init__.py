"""Rows in another order, added to the map that they belong to: ``functional.py`` has the operator."""

from vrtspike.ops.add_scattered.backends import ADD_SCATTERED
from vrtspike.ops.add_scattered.functional import add_scattered, add_scattered_normed
from vrtspike.ops.add_scattered.reference import Addend, Norm

__all__ = ['ADD_SCATTERED', 'Addend', 'Norm', 'add_scattered', 'add_scattered_normed']
