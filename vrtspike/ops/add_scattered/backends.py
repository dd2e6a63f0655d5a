"""The backends of the sum in the order of preference."""

from __future__ import annotations

from vrtspike.ops import triton_support
from vrtspike.ops.add_scattered import native, on_gpu
from vrtspike.ops.add_scattered.reference import reference
from vrtspike.ops.backends import Operator, PairBackend

ADD_SCATTERED = Operator(
    'add_scattered',
    (
        PairBackend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
        PairBackend('triton', on_gpu.on_gpu, pair=on_gpu.on_gpu_normed, **triton_support.SERVES),
        PairBackend('pytorch', reference),  # what trials compare with: they leave the reference out
        PairBackend('reference', reference),
    ),
)
