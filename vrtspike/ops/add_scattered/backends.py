"""The backends of the sum."""

from __future__ import annotations

from vrtspike.ops.add_scattered import native, on_gpu
from vrtspike.ops.add_scattered.reference import reference
from vrtspike.ops.row_operator import row_operator

ADD_SCATTERED = row_operator(
    'add_scattered', reference, native, (native.native, None), (on_gpu.on_gpu, on_gpu.on_gpu_normed)
)
