"""The backends of the sum in the order of preference."""

from __future__ import annotations

from vrtspike.ops import triton_support
from vrtspike.ops.add_scattered import native, on_gpu
from vrtspike.ops.add_scattered.reference import reference
from vrtspike.ops.backends import Backend, Operator

ADD_SCATTERED = Operator(
    'add_scattered',
    (
        Backend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
        Backend('triton', on_gpu.on_gpu, **triton_support.SERVES),
        Backend('pytorch', reference),  # what trials compare with: they leave the reference out
        Backend('reference', reference),
    ),
)
