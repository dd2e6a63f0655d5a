"""Counts each of our operators as one, always with the same backend, so counts do not depend on the machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from vrtspike.ops.backends import Operator, use_backends
from vrtspike.profiling.fused_operators import RunAsOne

COUNTED_BACKENDS = {'window_attention': 'reference', 'deform_conv2d': 'grid_sample'}


@contextmanager
def count_as_one(operators: Mapping[str, Operator], run_as_one: RunAsOne) -> Iterator[None]:
    """Run the operators with :data:`COUNTED_BACKENDS`, each through ``run_as_one``."""
    before = {name: operators[name].backends for name in COUNTED_BACKENDS}
    for name, backend in COUNTED_BACKENDS.items():
        plain = operators[name].find(backend)
        counted = replace(plain, run=functools.partial(run_as_one, plain.run))
        operators[name].backends = tuple(counted if each is plain else each for each in before[name])
    try:
        with use_backends(**COUNTED_BACKENDS):
            yield
    finally:
        for name, backends in before.items():
            operators[name].backends = backends
