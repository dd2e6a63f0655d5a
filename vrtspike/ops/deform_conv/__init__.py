"""Deformable convolution: ``functional.py`` has the operator, ``backends.py`` lists what computes it."""

from vrtspike.ops.deform_conv.backends import DEFORM_CONV2D
from vrtspike.ops.deform_conv.functional import deform_conv2d

__all__ = ['DEFORM_CONV2D', 'deform_conv2d']
