"""The backends of layer normalisation."""

from __future__ import annotations

from vrtspike.ops.layer_norm import native, on_gpu
from vrtspike.ops.layer_norm.reference import reference
from vrtspike.ops.row_operator import row_operator

LAYER_NORM = row_operator('layer_norm', reference, native, on_gpu.on_gpu, on_gpu.on_gpu_beside)
