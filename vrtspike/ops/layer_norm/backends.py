"""The backends of layer normalisation in the order of preference."""

from __future__ import annotations

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.layer_norm import native, on_gpu
from vrtspike.ops.layer_norm.reference import reference

LAYER_NORM = Operator(
    'layer_norm',
    (
        Backend('native', native.native, ('cpu',), native.DTYPES, backward=(), missing=native.missing),
        Backend('triton', on_gpu.on_gpu, **triton_support.SERVES),
        Backend('pytorch', reference),  # what trials compare with: they leave the reference out
        Backend('reference', reference),
    ),
)
