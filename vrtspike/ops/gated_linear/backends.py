"""The backends of the gated linear layer in the order of preference."""

from __future__ import annotations

from functools import partial

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.gated_linear import native, on_gpu
from vrtspike.ops.gated_linear.recomputing import PYTORCH, recomputing
from vrtspike.ops.gated_linear.reference import reference

GATED_LINEAR = Operator(
    'gated_linear',
    (
        Backend(
            'native',
            partial(recomputing, native.NATIVE),
            devices=('cpu',),
            dtypes=native.DTYPES,
            missing=native.missing,
        ),
        Backend('triton', partial(recomputing, on_gpu.TRITON), **triton_support.SERVES),
        Backend('recomputing', partial(recomputing, PYTORCH)),
        Backend('reference', reference),
    ),
)
