"""The backends of layer normalisation."""

from __future__ import annotations

from vrtspike.ops.layer_norm import native, on_gpu
from vrtspike.ops.layer_norm.reference import reference
from vrtspike.ops.row_operator import row_operator

LAYER_NORM = row_operator(
    'layer_norm',
    reference,
    native,
    (native.KERNELS.normalised, native.KERNELS.normalised_beside),
    (on_gpu.KERNELS.normalised, on_gpu.KERNELS.normalised_beside),
)
