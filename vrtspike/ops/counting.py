"""Counts our operators always with the same backends, so counts do not depend on the machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from vrtspike.ops.backends import Operator, use_backends
from vrtspike.profiling.fused_operators import RunAsOne

COUNTED_BACKENDS = {
    'window_attention': 'reference',
    'deform_conv2d': 'grid_sample',
    'flow_offsets': 'reference',
    'gated_linear': 'recomputing',
    'layer_norm': 'reference',
    'linear': 'reference',
    'add_scattered': 'reference',
}
AS_ONE = ('window_attention', 'deform_conv2d')
"""Operators whose fast backends keep all between their arguments and their result out of memory."""


@contextmanager
def count_as_one(operators: Mapping[str, Operator], run_as_one: RunAsOne) -> Iterator[None]:
    """Run the operators with :data:`COUNTED_BACKENDS`, those of :data:`AS_ONE` through ``run_as_one``."""
    before = {name: operators[name].backends for name in AS_ONE}
    for name in AS_ONE:
        plain = operators[name].find(COUNTED_BACKENDS[name])
        counted = replace(plain, run=functools.partial(run_as_one, plain.run))
        operators[name].backends = tuple(counted if each is plain else each for each in before[name])
    try:
        with use_backends(**COUNTED_BACKENDS):
            yield
    finally:
        for name, backends in before.items():
            operators[name].backends = backends
