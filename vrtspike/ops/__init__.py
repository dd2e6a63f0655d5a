"""Operators, each with a plain reference and faster backends behind one signature.

In an operator's folder, ``functional.py`` has the function and ``backends.py`` lists its backends, fastest first.
``ops/backends.py`` chooses among them.
"""

import functools

from vrtspike.ops.add_scattered import ADD_SCATTERED, Addend, add_scattered
from vrtspike.ops.backends import Backend, Operator, use_backends
from vrtspike.ops.counting import count_as_one
from vrtspike.ops.deform_conv import DEFORM_CONV2D, deform_conv2d
from vrtspike.ops.flow_offsets import FLOW_OFFSETS, flow_offsets
from vrtspike.ops.gated_linear import GATED_LINEAR, gated_linear
from vrtspike.ops.layer_norm import LAYER_NORM, layer_norm, layer_norm_beside
from vrtspike.ops.linear import LINEAR, linear
from vrtspike.ops.trial_outcomes import measure_backends
from vrtspike.ops.window_attention import WINDOW_ATTENTION, Windows, map_windows, window_attention
from vrtspike.profiling.fused_operators import register_fused_operators

OPERATORS: dict[str, Operator] = {
    op.name: op
    for op in (WINDOW_ATTENTION, DEFORM_CONV2D, FLOW_OFFSETS, GATED_LINEAR, LAYER_NORM, LINEAR, ADD_SCATTERED)
}

register_fused_operators(functools.partial(count_as_one, OPERATORS))

__all__ = [
    'ADD_SCATTERED',
    'DEFORM_CONV2D',
    'FLOW_OFFSETS',
    'GATED_LINEAR',
    'LAYER_NORM',
    'LINEAR',
    'OPERATORS',
    'WINDOW_ATTENTION',
    'Addend',
    'Backend',
    'Operator',
    'Windows',
    'add_scattered',
    'deform_conv2d',
    'flow_offsets',
    'gated_linear',
    'layer_norm',
    'layer_norm_beside',
    'linear',
    'map_windows',
    'measure_backends',
    'use_backends',
    'window_attention',
]
