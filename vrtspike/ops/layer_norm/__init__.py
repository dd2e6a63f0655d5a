"""Layer normalisation of tokens: ``functional.py`` has the operator, ``backends.py`` lists its backends."""

from vrtspike.ops.layer_norm.backends import LAYER_NORM
from vrtspike.ops.layer_norm.functional import layer_norm, layer_norm_beside

__all__ = ['LAYER_NORM', 'layer_norm', 'layer_norm_beside']
