"""Operators, each with a plain reference and faster backends behind one signature."""

import functools

from vrtspike.ops.backends import Backend, Operator, use_backends
from vrtspike.ops.counting import count_as_one
from vrtspike.ops.deform_conv import DEFORM_CONV2D, deform_conv2d
from vrtspike.ops.window_attention import (
    WINDOW_ATTENTION,
    attend_in_windows,
    window_attention,
    works_in_windows,
)
from vrtspike.ops.window_attention.layout import WindowLayout
from vrtspike.profiling.fused_operators import register_fused_operators

OPERATORS: dict[str, Operator] = {op.name: op for op in (WINDOW_ATTENTION, DEFORM_CONV2D)}

register_fused_operators(functools.partial(count_as_one, OPERATORS))

__all__ = [
    'DEFORM_CONV2D',
    'OPERATORS',
    'WINDOW_ATTENTION',
    'Backend',
    'Operator',
    'WindowLayout',
    'attend_in_windows',
    'deform_conv2d',
    'use_backends',
    'window_attention',
    'works_in_windows',
]
