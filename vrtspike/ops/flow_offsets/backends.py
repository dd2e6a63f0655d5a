"""The backends of offsets and masks in the order of preference."""

from __future__ import annotations

from vrtspike.ops import triton_support
from vrtspike.ops.backends import Backend, Operator
from vrtspike.ops.flow_offsets import native, on_gpu
from vrtspike.ops.flow_offsets.reference import reference

FLOW_OFFSETS = Operator(
    'flow_offsets',
    (
        Backend('native', native.native, devices=('cpu',), dtypes=native.DTYPES, missing=native.missing),
        Backend('triton', on_gpu.on_gpu, **triton_support.SERVES),
        Backend('pytorch', reference),  # what trials compare with: they leave the reference out
        Backend('reference', reference),
    ),
)
