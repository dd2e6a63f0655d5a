"""Offsets and masks of a flow-guided convolution: ``functional.py`` has the operator, ``backends.py`` its backends."""

from vrtspike.ops.flow_offsets.backends import FLOW_OFFSETS
from vrtspike.ops.flow_offsets.functional import flow_offsets

__all__ = ['FLOW_OFFSETS', 'flow_offsets']
