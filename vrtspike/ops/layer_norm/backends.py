"""The backends of layer normalisation in the order of preference."""

from __future__ import annotations

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Operator, PairBackend
from vrtspike.ops.layer_norm import native, on_gpu
from vrtspike.ops.layer_norm.reference import reference

LAYER_NORM = Operator(
    'layer_norm',
    (
        PairBackend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
        PairBackend('triton', on_gpu.on_gpu, pair=on_gpu.on_gpu_beside, **triton_support.SERVES),
        PairBackend('pytorch', reference),  # what trials compare with: they leave the reference out
        PairBackend('reference', reference),
    ),
)
