"""The gate and the last layer of a gated MLP: ``functional.py`` has the operator, ``backends.py`` its backends."""

from vrtspike.ops.gated_linear.backends import GATED_LINEAR
from vrtspike.ops.gated_linear.functional import gated_linear

__all__ = ['GATED_LINEAR', 'gated_linear']
